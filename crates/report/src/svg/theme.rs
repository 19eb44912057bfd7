//! Colours and styles that plots and page share, light and dark.
//!
//! The series colours are Okabe and Ito's, moved apart in lightness until each has at least 3:1 against its ground; a
//! series also has a dash pattern and a marker of its own, so that nothing is told by colour alone.

/// Custom properties for a light ground.
pub(crate) const LIGHT: &str = "--bg:#ffffff;--panel:#f6f7f9;--fg:#1b1f24;--soft:#57606c;--rule:#dfe3e8;--shade:#1b1f2426;--strong:#aab2bd;\
--accent:#0067a3;--good:#0072b2;--bad:#c8500a;--yes:#0a6b4b;--yes-bg:#e2f4ec;--no:#a63a00;--no-bg:#fdebe0;\
--s0:#0072b2;--s1:#d55e00;--s2:#00795a;--s3:#a0478a;--s4:#a87400;--s5:#2a86bb;--s6:#7a4e2d;--s7:#5f6b7a;";

/// The same names for a dark ground.
pub(crate) const DARK: &str = "--bg:#14181d;--panel:#1c2229;--fg:#e8ebef;--soft:#a3adb9;--rule:#303842;--shade:#0008;--strong:#5c6773;\
--accent:#6cbcf2;--good:#5db3f0;--bad:#ff8a4c;--yes:#6fd6ab;--yes-bg:#123226;--no:#ffa06e;--no-bg:#3a2113;\
--s0:#5db3f0;--s1:#ff8a4c;--s2:#3cc79b;--s3:#e08ccb;--s4:#e8b93f;--s5:#9bd8ff;--s6:#c99b74;--s7:#aab4c0;";

/// Styles of what is drawn. `.c0`…`.c7` set the current colour, the rest draws with it.
pub(crate) const PLOT: &str = "\
.plot{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-variant-numeric:tabular-nums}\
.plot.narrow{font-size:12px}\
.plot text{fill:var(--fg)}.plot .name{paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}.plot .soft{fill:var(--soft)}.plot .ref{fill:var(--soft);font-style:italic}\
.plot .grid{stroke:var(--rule);stroke-width:1}.plot .axis{stroke:var(--strong);stroke-width:1}\
.plot .mark{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:4 3}.plot .lead{stroke:var(--strong);stroke-width:1}\
.plot .curve{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:butt}\
.plot .band{fill:currentColor;fill-opacity:.18;stroke:none}\
.plot .dot{fill:currentColor;stroke:var(--bg);stroke-width:1}\
.plot .bar{fill:currentColor;fill-opacity:.85}.plot .whisker{stroke:var(--fg);stroke-width:1.3;fill:none}\
.plot .cell-good{fill:var(--good)}.plot .cell-bad{fill:var(--bad)}.plot .cell{fill:var(--s0)}\
.plot .blank{fill:none;stroke:var(--rule)}\
.c0{color:var(--s0)}.c1{color:var(--s1)}.c2{color:var(--s2)}.c3{color:var(--s3)}\
.c4{color:var(--s4)}.c5{color:var(--s5)}.c6{color:var(--s6)}.c7{color:var(--s7)}";

/// Dash pattern of the i-th series; empty is solid.
pub(crate) fn dash(series: usize) -> &'static str {
    ["", "7 3", "2 2.5", "9 3 2 3"][series % 4]
}

/// Colour class of the i-th series.
pub(crate) fn colour(series: usize) -> usize {
    series % 8
}
