//! Pictures as a browser draws them: Chromium measures every text, box and arrow of every view of every fleet.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{fleet, peer, text};

const SEEDS: [&str; 5] = ["seed-000.json", "seed-001.json", "seed-002.json", "seed-003.json", "seed-004.json"];

/// Looks at every drawing of a page and writes what is wrong with it.
const MEASURE: &str = r"
const found = [], seen = {};
const say = (svg, what, text) => found.push(`${svg.querySelector('title').textContent}: ${what}: ${text}`);
const inside = (inner, outer, by) => inner.left >= outer.left + by && inner.right <= outer.right - by && inner.top >= outer.top + by && inner.bottom <= outer.bottom - by;
const overlap = (a, b, by) => a.left < b.right - by && b.left < a.right - by && a.top < b.bottom - by && b.top < a.bottom - by;
const color = text => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => { const f = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const contrast = (a, b) => { const [x, y] = [light(color(a)), light(color(b))].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
let drawings = 0, texts = 0, boxes = 0, arrows = 0, crossings = 0;
for (const svg of document.querySelectorAll('figure svg')) {
  drawings++;
  const frame = svg.getBoundingClientRect();
  const paper = getComputedStyle(svg.querySelector('rect.bg')).fill;
  const main = svg.querySelector(':scope > g:not(.legend)');
  const nodes = [...main.querySelectorAll(':scope > g')];
  const rects = nodes.map(node => node.querySelector('.b').getBoundingClientRect());
  if (!nodes.length) say(svg, 'empty', 'no box');
  boxes += nodes.length;
  nodes.forEach((node, at) => {
    const shapes = [...node.querySelectorAll('.b')];
    const parts = shapes.slice(1).filter(shape => shape.tagName === 'rect');
    parts.forEach((part, i) => {
      const own = part.getBoundingClientRect();
      if (!inside(own, rects[at], 2)) say(svg, 'a box out of its box', node.textContent.slice(0, 60));
      parts.slice(i + 1).forEach(other => { if (overlap(own, other.getBoundingClientRect(), 1)) say(svg, 'boxes overlap inside', node.textContent.slice(0, 60)); });
    });
    for (const label of node.querySelectorAll('text')) {
      texts++;
      const own = label.getBoundingClientRect();
      const middle = { x: (own.left + own.right) / 2, y: (own.top + own.bottom) / 2 };
      const around = parts.find(part => { const r = part.getBoundingClientRect(); return middle.x > r.left && middle.x < r.right && middle.y > r.top && middle.y < r.bottom; }) || shapes[0];
      const box = around.getBoundingClientRect();
      if (own.left < box.left + 3 || own.right > box.right - 3 || own.top < box.top - 1 || own.bottom > box.bottom + 1) say(svg, 'a text out of its box', label.textContent);
      const ratio = contrast(getComputedStyle(label).fill, getComputedStyle(around).fill);
      if (ratio < 4.5) say(svg, `a contrast of ${ratio.toFixed(2)}`, label.textContent);
      if (own.height < 9) say(svg, `a text ${own.height} px high`, label.textContent);
    }
    for (let other = at + 1; other < nodes.length; other++) if (overlap(rects[at], rects[other], 1)) say(svg, 'boxes overlap', nodes[at].textContent.slice(0, 40) + ' / ' + nodes[other].textContent.slice(0, 40));
    if (!inside(rects[at], frame, 1)) say(svg, 'a box out of the picture', node.textContent.slice(0, 60));
  });
  // Labels of arrows, remarks, the title and the legend.
  const loose = [...svg.querySelectorAll('text')].filter(label => !nodes.some(node => node.contains(label)));
  loose.forEach((label, at) => {
    texts++;
    const own = label.getBoundingClientRect();
    if (!inside(own, frame, 0)) say(svg, 'a text out of the picture', label.textContent);
    if (contrast(getComputedStyle(label).fill, paper) < 4.5) say(svg, 'a pale text', label.textContent);
    rects.forEach((rect, node) => { if (overlap(own, rect, 1)) say(svg, 'a text over a box', label.textContent + ' / ' + nodes[node].textContent.slice(0, 40)); });
    loose.slice(at + 1).forEach(other => { if (overlap(own, other.getBoundingClientRect(), 2)) say(svg, 'texts overlap', label.textContent + ' / ' + other.textContent); });
  });
  // Arrows never pass behind a box that they do not touch, and begin and end at one.
  const paths = [...main.querySelectorAll(':scope > path.e')];
  arrows += paths.length;
  const lines = paths.map(path => {
    const length = path.getTotalLength(), matrix = path.getScreenCTM();
    const points = [];
    for (let at = 0; at <= length; at += 4) { const p = path.getPointAtLength(at).matrixTransform(matrix); points.push([p.x, p.y]); }
    const end = path.getPointAtLength(length).matrixTransform(matrix);
    points.push([end.x, end.y]);
    return points;
  });
  lines.forEach(points => {
    const through = new Set();
    for (const [x, y] of points) rects.forEach((r, node) => { if (x > r.left + 3 && x < r.right - 3 && y > r.top + 3 && y < r.bottom - 3) through.add(node); });
    for (const node of through) say(svg, 'an arrow through a box', nodes[node].textContent.slice(0, 60));
    const near = ([x, y]) => rects.some(r => x > r.left - 3 && x < r.right + 3 && y > r.top - 12 && y < r.bottom + 12);
    if (!near(points[0]) || !near(points[points.length - 1])) say(svg, 'an arrow that ends nowhere', points[0].map(Math.round) + ' to ' + points[points.length - 1].map(Math.round));
  });
  const side = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  for (let i = 0; i < lines.length; i++) for (let j = i + 1; j < lines.length; j++) {
    let met = false;
    for (let a = 0; a + 1 < lines[i].length && !met; a += 1) for (let b = 0; b + 1 < lines[j].length && !met; b += 1) {
      const [p, q, r, s] = [lines[i][a], lines[i][a + 1], lines[j][b], lines[j][b + 1]];
      if (Math.max(p[0], q[0]) < Math.min(r[0], s[0]) || Math.max(r[0], s[0]) < Math.min(p[0], q[0]) || Math.max(p[1], q[1]) < Math.min(r[1], s[1]) || Math.max(r[1], s[1]) < Math.min(p[1], q[1])) continue;
      met = side(p, q, r) * side(p, q, s) < 0 && side(r, s, p) * side(r, s, q) < 0;
    }
    if (met) crossings++;
  }
  const kinds = new Set([...main.querySelectorAll('.b')].map(shape => [...shape.classList].find(name => name.startsWith('k-'))).filter(name => name !== 'k-internet'));
  const legend = new Set([...svg.querySelectorAll('.legend .b')].map(shape => [...shape.classList].find(name => name.startsWith('k-'))));
  if (kinds.size > 1) for (const kind of kinds) if (!legend.has(kind)) say(svg, 'not in the legend', kind);
}
const out = document.createElement('pre');
out.id = 'measured';
out.textContent = JSON.stringify({ found, drawings, texts, boxes, arrows, crossings, dark: matchMedia('(prefers-color-scheme: dark)').matches, wide: document.documentElement.scrollWidth > innerWidth });
document.body.append(out);
";

/// What Chromium measures in a page.
fn measured(chromium: &Path, page: &str, dark: bool) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page.replace("</body>", &format!("<script>{MEASURE}</script></body>"))).unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1440,1000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={}", i32::from(!dark)));
    let output = command.arg(format!("file://{}", file.display())).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let start =
        text.rfind("<pre id=\"measured\">").unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let json = text[start..].split_once('>').unwrap().1.split("</pre>").next().unwrap();
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&json).unwrap()
}

#[test]
fn a_browser_shows_nothing_out_of_place() {
    let Some(chromium) = peer("chromium", "apt-get install chromium") else { return };
    // All of them on one page: a browser takes a second to start.
    let pages: Vec<String> = SEEDS.iter().map(|seed| text(&["docs", "--format", "html"], &fleet(seed))).collect();
    let mut all = pages[0].split("</body>").next().unwrap().to_owned();
    for page in &pages[1..] {
        all.push_str(page.split("</nav>").nth(1).unwrap().split("</body>").next().unwrap());
    }
    all.push_str("</body></html>");
    let drawings = pages.iter().map(|page| page.matches("<figure").count()).sum::<usize>();
    for dark in [false, true] {
        let report = measured(&chromium, &all, dark);
        assert_eq!(report["dark"], dark);
        assert_eq!(report["drawings"], drawings, "{report}");
        assert_eq!(report["wide"], false, "the page itself never scrolls sideways");
        let found: Vec<&str> = report["found"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert!(found.is_empty(), "{} things out of place:\n{}", found.len(), found.join("\n"));
        assert!(report["texts"].as_u64().unwrap() > 500 && report["arrows"].as_u64().unwrap() > 50, "{report}");
        // Some cannot be avoided: a graph need not be flat.
        let crossings = report["crossings"].as_u64().unwrap();
        assert!(crossings <= MOST_CROSSINGS, "{crossings} crossings");
    }
}

/// Of arrows, in all views of all seeds together.
const MOST_CROSSINGS: u64 = 40;
