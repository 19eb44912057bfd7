//! `--plot`: ε over the steps, with lower and upper bound, one curve an accountant.

use std::path::Path;

use ashlar_cli::{Failure, write_file};
use ashlar_report::{Axis, Curve, LinePlot, Point, Size};

use super::args::AccountantArgs;
use crate::{Accountant, Bound, BoundKind, Event, Kind};

/// Points a curve.
const POINTS: u64 = 24;

/// Computes the curves and writes the file, aside first, so that no half of one is left.
pub(super) fn write(file: &Path, events: &[Event], delta: f64, args: &AccountantArgs) -> Result<(), Failure> {
    let plot = LinePlot {
        title: format!("Privacy spent, δ = {delta:e}, {}", crate::Neighboring::from(args.neighboring)),
        x: Axis::new("steps"),
        y: Axis::new("ε").include([0.0]),
        curves: curves(events, delta, args)?,
        references: Vec::new(),
        note: "Bands: from the certified lower to the upper bound.".to_owned(),
    };
    write_file(file, plot.to_svg(Size::Wide).as_bytes())
}

fn curves(events: &[Event], delta: f64, args: &AccountantArgs) -> Result<Vec<Curve>, Failure> {
    let asked = Kind::from(args.accountant);
    let first = if asked == Kind::Prv { Kind::Prv } else { Kind::Pld };
    let mut curves = Vec::new();
    for kind in [first, Kind::Rdp, Kind::Zcdp, Kind::Gdp, Kind::Pure] {
        // Others are left out where they have no bound, or none at this delta.
        let reaches = kind.supported(events, args.neighboring.into()).is_ok() && (delta > 0.0 || kind != Kind::Rdp);
        if kind == asked || reaches {
            curves.push(curve(args.build_kind(kind)?.as_ref(), events, delta)?);
        }
    }
    Ok(curves)
}

fn curve(accountant: &dyn Accountant, events: &[Event], delta: f64) -> Result<Curve, Failure> {
    let points = points_at(events);
    let mut curve = Curve { name: accountant.name().to_owned(), points: Vec::with_capacity(points.len()) };
    let mut approximate = false;
    for steps in points {
        let bound =
            if steps == 0 { Bound::exact(0.0) } else { accountant.epsilon(&first_steps(events, steps), delta)? };
        approximate |= bound.kind == BoundKind::Approximate;
        let band = bound.lower.filter(|_| bound.kind == BoundKind::Upper).map(|lower| (lower, bound.upper));
        curve.points.push(Point { x: steps as f64, y: bound.value, band });
    }
    if approximate {
        curve.name.push_str(" (approximate)");
    }
    Ok(curve)
}

/// Numbers of steps: even shares of all, the first step, and the ends of events, where curves bend.
fn points_at(events: &[Event]) -> Vec<u64> {
    let mut ends = Vec::new();
    let mut total = 0_u64;
    for event in events {
        total = total.saturating_add(event.steps());
        ends.push(total);
    }
    let mut at: Vec<u64> = (0..=POINTS).map(|i| share(total, i)).collect();
    at.push(total.min(1));
    if ends.len() <= POINTS as usize {
        at.extend(ends);
    }
    at.sort_unstable();
    at.dedup();
    at
}

/// `part` of [`POINTS`] shares of `total`, without overflow.
fn share(total: u64, part: u64) -> u64 {
    (u128::from(total) * u128::from(part) / u128::from(POINTS)) as u64
}

/// The first `steps` steps of a list, in its order.
fn first_steps(events: &[Event], steps: u64) -> Vec<Event> {
    let mut left = steps;
    let mut taken = Vec::new();
    for event in events {
        let now = event.steps().min(left);
        taken.push(event.with_steps(now));
        left -= now;
    }
    taken
}
