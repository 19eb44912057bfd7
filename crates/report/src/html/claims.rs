//! The verdict, and a card a claim.

use std::fmt::Write as _;

use crate::{
    escape::{escape, inline},
    model::{Claim, Op},
};

/// A badge that says it in words and shape, not by colour alone.
pub(super) fn badge(holds: bool) -> &'static str {
    if holds {
        "<span class=\"badge yes\"><span aria-hidden=\"true\">✓</span> holds</span>"
    } else {
        "<span class=\"badge no\"><span aria-hidden=\"true\">✗</span> fails</span>"
    }
}

pub(super) fn write(out: &mut String, claims: &[Claim]) {
    if claims.is_empty() {
        return;
    }
    let held = claims.iter().filter(|c| c.holds).count();
    let count = claims.len();
    let verdict = match (held, count) {
        (1, 1) => "The claim holds".to_owned(),
        (0, 1) => "The claim does not hold".to_owned(),
        (h, n) if h == n => format!("All {n} claims hold"),
        (0, n) => format!("None of the {n} claims holds"),
        (h, n) => format!("{h} of {n} claims hold"),
    };
    let class = if held == count { "yes" } else { "no" };
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"claims\">\n<h2 id=\"claims\" class=\"verdict {class}\">{verdict}</h2>\n<ul class=\"claims\">"
    );
    for claim in claims {
        let class = if claim.holds { "yes" } else { "no" };
        let _ = write!(
            out,
            "<li class=\"{class}\">{}<div class=\"says\"><p>{}</p>",
            badge(claim.holds),
            inline(&claim.text)
        );
        if !claim.detail.is_empty() {
            let _ = write!(out, "<p class=\"note\">{}</p>", inline(&claim.detail));
        }
        out.push_str("</div>");
        let show = |v: f64| escape(&claim.format.show(v));
        let _ = write!(out, "<dl><div><dt>measured</dt><dd>{}", show(claim.measured));
        if let Some(i) = &claim.interval {
            let range = escape(&claim.format.show_range(i.low, i.high));
            let level = crate::Format::Auto.show(i.confidence * 100.0);
            let _ = write!(out, " <span class=\"range\">{range} at {level} %</span>");
        }
        let _ = write!(
            out,
            "</dd></div><div><dt>claimed</dt><dd>{} {}</dd></div></dl>",
            escape(&claim.op.sign().to_string()),
            show(claim.threshold)
        );
        out.push_str(&gauge(claim));
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n</section>\n");
}

/// A small scale with the threshold's tick, the claimed side and the measured dot. It repeats what the numbers say, so
/// screen readers skip it.
fn gauge(claim: &Claim) -> String {
    let finite = claim.measured.is_finite() && claim.threshold.is_finite();
    let side = match claim.op {
        Op::Less | Op::AtMost => -1.0,
        Op::Greater | Op::AtLeast => 1.0,
        Op::Equal | Op::NotEqual => return String::new(),
    };
    let interval = claim.interval.filter(|i| i.low.is_finite() && i.high.is_finite());
    let values = [claim.measured, claim.threshold].into_iter().chain(interval.iter().flat_map(|i| [i.low, i.high]));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    if !finite || !(high - low).is_finite() {
        return String::new();
    }
    let room = if high > low { (high - low) * 0.35 } else { 1.0 };
    let x = |v: f64| 6.0 + ((v - low + room) / (high - low + 2.0 * room)).clamp(0.0, 1.0) * 188.0;
    let (at, threshold) = (x(claim.measured), x(claim.threshold));
    let (from, to) = if side > 0.0 { (threshold, 194.0) } else { (6.0, threshold) };
    let class = if claim.holds { "yes" } else { "no" };
    let mut out = format!("<svg class=\"gauge {class}\" viewBox=\"0 0 200 20\" aria-hidden=\"true\">");
    let _ = write!(out, "<path class=\"scale\" d=\"M6 10H194\"/><path class=\"side\" d=\"M{from:.1} 10H{to:.1}\"/>");
    let _ = write!(out, "<path class=\"tick\" d=\"M{threshold:.1} 3V17\"/>");
    if let Some(i) = interval {
        let _ = write!(out, "<path class=\"span\" d=\"M{:.1} 10H{:.1}\"/>", x(i.low), x(i.high));
    }
    let _ = write!(out, "<circle cx=\"{at:.1}\" cy=\"10\" r=\"5\"/></svg>");
    out
}
