//! The page's style sheet.

use crate::svg::theme;

/// Everything the page needs, themes and plots included.
pub(super) fn css() -> String {
    let (light, dark, plot) = (theme::LIGHT, theme::DARK, theme::PLOT);
    format!(
        ":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{plot}{PAGE}@media print{{:root{{{light}}}{PRINT}}}"
    )
}

const PAGE: &str = "
*,*::before,*::after{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:3.5rem}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;overflow-wrap:anywhere}
a{color:var(--accent)}a:focus-visible,[tabindex]:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:.5rem;background:var(--bg);padding:.25rem .75rem;z-index:2}
.frame{max-width:1120px;margin:0 auto;padding:0 1rem}
main{min-width:0;padding:1.25rem 0 3rem}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .4rem;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.3;letter-spacing:-.01em;margin:0 0 .75rem}
h3{font-size:1.15rem;line-height:1.35;margin:0 0 .5rem}
.lede{font-size:1.05rem;color:var(--soft);margin:0;max-width:44rem}
section{margin-top:2.5rem}section section{margin-top:2rem}
.stage{border-top:1px solid var(--rule);padding-top:1.75rem;margin-top:3rem}
.step{display:block;font-size:.75rem;font-weight:600;letter-spacing:.08em;text-transform:uppercase;color:var(--soft);margin-bottom:.15rem}
.prose{max-width:44rem}.prose p{margin:0 0 .75rem}
code,pre{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{background:var(--panel);border-radius:3px;padding:.1em .3em}
nav{position:sticky;top:0;z-index:1;background:var(--bg);margin:0 -1rem;border-bottom:1px solid var(--rule);overflow-x:auto;scrollbar-width:none}
nav ul{display:flex;gap:1.25rem;list-style:none;margin:0;padding:.6rem 1rem;white-space:nowrap;font-size:.9rem}
nav a{color:var(--soft);text-decoration:none}nav a:hover{color:var(--accent);text-decoration:underline}
.verdict{display:flex;align-items:center;gap:.6rem}
.verdict::before{content:'✓';flex:none;width:1.7rem;height:1.7rem;border-radius:50%;display:grid;place-items:center;font-size:1rem;background:var(--yes);color:var(--bg)}
.verdict.no::before{content:'!';font-weight:700;background:var(--no)}
.claims{list-style:none;margin:0;padding:0;display:grid;gap:.75rem}
.claims li{display:grid;gap:.5rem 1.5rem;padding:.85rem 1rem;background:var(--panel);border:1px solid var(--rule);border-left:4px solid var(--yes);border-radius:6px;break-inside:avoid}
.claims li.no{border-left-color:var(--no)}
.says p{margin:0;font-weight:600;line-height:1.4}.says .note{font-weight:400;margin-top:.2rem}
.badge{justify-self:start;align-self:start;white-space:nowrap;font-size:.8rem;font-weight:650;line-height:1;padding:.35rem .6rem;border-radius:99px;display:inline-block}
.badge.yes{background:var(--yes-bg);color:var(--yes)}.badge.no{background:var(--no-bg);color:var(--no)}
.claims dl{display:flex;flex-wrap:wrap;gap:.25rem 2rem;margin:0;align-items:baseline}
.claims dl div{display:flex;flex-wrap:wrap;gap:0 .5rem;align-items:baseline}
.claims dt{font-size:.8rem;color:var(--soft);white-space:nowrap}.claims dd{margin:0;font-variant-numeric:tabular-nums;font-weight:600}
.range{color:var(--soft);font-weight:400;white-space:nowrap}
.gauge{width:100%;max-width:280px;height:auto;display:block}
.gauge .scale{stroke:var(--rule);stroke-width:4;stroke-linecap:round}.gauge .side{stroke:var(--strong);stroke-width:4;stroke-linecap:round}
.gauge .tick{stroke:var(--fg);stroke-width:1.5}.gauge .span{stroke:currentColor;stroke-width:2}
.gauge circle{fill:currentColor;stroke:var(--panel);stroke-width:1.5}.gauge.yes{color:var(--yes)}.gauge.no{color:var(--no)}
.facts{margin:0 0 1.25rem;font-size:.95rem}
.facts div{display:grid;grid-template-columns:6.5rem minmax(0,1fr);gap:1rem;padding:.3rem 0;align-items:baseline}
.facts div+div{border-top:1px solid var(--rule)}
.facts dt{font-size:.8rem;color:var(--soft)}.facts dd{margin:0;font-variant-numeric:tabular-nums}
figure{margin:1.5rem 0 2rem;break-inside:avoid}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:.6rem}
.note{font-size:.85rem;color:var(--soft);margin:.5rem 0 0;max-width:44rem}
.plot{display:block;width:100%;height:auto}.plot.wide{display:none}
.scroll{overflow-x:auto;border-block:1px solid var(--strong);background:linear-gradient(to left,var(--bg) 1.5rem,transparent) right/3rem 100% no-repeat local,linear-gradient(to left,var(--shade),transparent) right/.9rem 100% no-repeat scroll}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:100%;overflow-wrap:normal}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.45rem .9rem .45rem 0;text-align:left;vertical-align:top}
th:last-child,td:last-child{padding-right:.25rem}
thead th:first-child,tbody th{position:sticky;left:0;background:var(--bg);max-width:40vw}
thead th{font-weight:600;font-size:.82rem;color:var(--soft);border-bottom:1px solid var(--rule);vertical-align:bottom}
tbody th{font-weight:500}tbody tr+tr>*{border-top:1px solid var(--rule)}
.num{text-align:right;white-space:nowrap}
td .badge{padding:.25rem .5rem}
details{border:1px solid var(--rule);border-radius:6px;margin:1rem 0}
summary{cursor:pointer;padding:.6rem .9rem;font-weight:550}
details pre{margin:0;padding:.75rem .9rem;overflow-x:auto;border-top:1px solid var(--rule);background:var(--panel);overflow-wrap:normal}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--rule);font-size:.85rem;color:var(--soft)}
@media (min-width:640px){.plot.wide{display:block}.plot.narrow{display:none}}
@media (min-width:800px){
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.9rem 1.5rem}
.facts div,.facts div+div{display:block;border:0;padding:0}
h1{font-size:2.1rem}main{padding-top:2.5rem}
.claims li{grid-template-columns:minmax(0,1fr) 190px}
.claims .says,.claims dl{grid-column:1}
.claims .badge{grid-column:2;grid-row:1;justify-self:end}.claims .gauge{grid-column:2;align-self:center}
}
@media (min-width:1040px){
.frame{display:grid;grid-template-columns:200px minmax(0,800px);gap:3.5rem}
.frame>main:first-child{grid-column:1/-1;max-width:860px}
nav{align-self:start;top:0;border:0;margin:0;padding:2.75rem 0 1rem;max-height:100vh;overflow:auto}
nav ul{display:block;padding:0;white-space:normal}nav li{margin:0 0 .5rem}
html{scroll-padding-top:1.5rem}
}";

const PRINT: &str = "
body{font-size:10.5pt}nav,.skip{display:none}.frame{display:block;max-width:none;padding:0}main{padding:0}
.plot.wide{display:block}.plot.narrow{display:none}.stage{break-before:page;border:0}
.scroll{overflow:visible}h2,h3,figcaption{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
@page{margin:16mm}";
