// ---- regions: shown and drawn on the picture, by pointer, touch and keyboard
const drawing = $("drawing"), SVG = "http://www.w3.org/2000/svg";
const NEEDED = {point: 1, line: 2, rectangle: 2, polygon: 3};
const HOW = "Tap or drag on the picture. With the keyboard: arrows move the cross (Shift: faster), Enter sets a point, Backspace takes it back, Escape cancels.";
let places = {regions: [], to_picture: null, to_infrared: null}, regionsTimer = 0;
let draft = null; // {kind, points: shares of the picture, name, done, cursor}

function through(matrix, [x, y]) {
  const [a, b, c] = matrix.map(row => row[0] * x + row[1] * y + row[2]);
  return [a / c, b / c];
}
async function regions() {
  clearTimeout(regionsTimer);
  const open = panel("regions").open;
  if (view.regions !== open) { view.regions = open; changed(); }
  drawing.toggleAttribute("hidden", !open);
  if (!open) { draft = null; drawn(); return; }
  try {
    const answer = await fetch("/regions.json");
    if (!answer.ok) throw new Error(await answer.text());
    places = await answer.json();
    listRegions();
    drawn();
  } catch (error) { $("regions-said").textContent = error.message; }
  if (!document.hidden) regionsTimer = setTimeout(regions, 1500);
}
function regionValues(one) {
  if (one.fault) return one.fault;
  if (!one.unit) return "not measured yet";
  return ["mean", "minimum", "maximum"].map(key => `${key} ${amount(one[key].value, one.unit)}`).join(", ");
}
function listRegions() {
  const box = $("regions-list"), names = places.regions.map(one => one.name).join();
  if (box.dataset.text !== names) {
    box.dataset.text = names;
    box.replaceChildren(...places.regions.map(one => {
      const row = document.createElement("li"), about = document.createElement("div");
      about.append(Object.assign(document.createElement("strong"), {textContent: one.name}), document.createElement("small"));
      row.dataset.region = one.name;
      row.append(about);
      for (const [text, does] of [["Draw anew", () => begin(one.name)], ["Remove", () => removeRegion(one.name)]]) {
        const button = Object.assign(document.createElement("button"), {type: "button", textContent: text});
        button.setAttribute("aria-label", `${text}: ${one.name}`);
        button.addEventListener("click", does);
        row.append(button);
      }
      return row;
    }));
  }
  for (const one of places.regions) box.querySelector(`[data-region="${one.name}"] small`).textContent = regionValues(one);
}
function fitDrawing(width, height) {
  if (drawing.dataset.size === `${width} ${height}`) return;
  drawing.dataset.size = `${width} ${height}`;
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawn();
}
function shape(kind, points, style) {
  const [width, height] = drawing.dataset.size.split(" ").map(Number), at = points.map(([x, y]) => [x * width, y * height]);
  const made = document.createElementNS(SVG, points.length === 1 ? "circle" : kind === "line" || style === "open" ? "polyline" : "polygon");
  if (points.length === 1) for (const [name, value] of [["cx", at[0][0]], ["cy", at[0][1]], ["r", 7 * width / (drawing.clientWidth || width)]]) made.setAttribute(name, value);
  else made.setAttribute("points", at.map(point => point.join()).join(" "));
  made.setAttribute("class", style);
  return made;
}
const corners = ([[left, top], [right, bottom]]) => [[left, top], [right, top], [right, bottom], [left, bottom]];
function drawn() {
  if (!drawing.dataset.size) return;
  // px: one pixel of the screen in the picture's units
  const [width, height] = drawing.dataset.size.split(" ").map(Number), items = [], px = width / (drawing.clientWidth || width);
  for (const one of places.regions) {
    if (!one.outline.length || draft?.name === one.name) continue;
    const points = one.outline.map(point => through(places.to_picture, point));
    items.push(shape(one.outline.length === 2 ? "line" : "polygon", points, "kept"));
    const label = document.createElementNS(SVG, "text"), top = points.reduce((a, b) => b[1] < a[1] ? b : a);
    label.setAttribute("x", Math.min(Math.max(top[0], .01), .8) * width);
    label.setAttribute("y", Math.max(top[1] * height - 6 * px, 18 * px));
    label.setAttribute("font-size", 15 * px);
    label.setAttribute("stroke-width", 3 * px);
    label.textContent = one.name;
    items.push(label);
  }
  if (draft) {
    const {kind, points, cursor, done} = draft, all = done || !cursor ? points : [...points, cursor];
    if (all.length > 1) items.push(shape(kind, kind === "rectangle" ? corners(all) : all, kind === "polygon" && !done ? "open" : "draft"));
    for (const point of points) items.push(shape("point", [point], "corner"));
    if (cursor && !done) {
      const [x, y] = [cursor[0] * width, cursor[1] * height], arm = 14 * px, cross = document.createElementNS(SVG, "path");
      cross.setAttribute("d", `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`);
      cross.setAttribute("class", "cursor");
      items.push(cross);
    }
  }
  drawing.replaceChildren(...items);
  drawing.classList.toggle("active", Boolean(draft && !draft.done));
  for (const button of document.querySelectorAll("[data-draw]")) button.setAttribute("aria-pressed", draft?.kind === button.dataset.draw);
  $("draw-cancel").hidden = !draft;
  $("draw-finish").hidden = !(draft?.kind === "polygon" && !draft.done && draft.points.length >= 3);
  $("region-form").hidden = !draft?.done;
}
function begin(name = "", kind = "rectangle") {
  draft = {kind, points: [], name, done: false, cursor: null};
  $("region-name").value = name;
  $("regions-said").textContent = `${name ? `${name}: choose a shape above, or draw the ${kind}.` : `${title(kind)}.`} ${HOW}`;
  drawn();
  drawing.focus();
  stage.scrollIntoView({block: "nearest"});
}
function cancel() {
  draft = null;
  $("regions-said").textContent = "Choose a shape, then draw it on the picture.";
  drawn();
}
const gap = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
function setPoint(point) {
  const {kind, points} = draft, last = points.at(-1);
  if (kind === "polygon" && points.length >= 3 && (gap(point, points[0]) < .03 || gap(point, last) < .005)) { finish(); return; }
  if (last && gap(point, last) < .005) return;
  points.push(point);
  if (kind !== "polygon" && points.length === NEEDED[kind]) finish();
  drawn();
}
function finish() {
  const {kind, points} = draft;
  if (points.length < NEEDED[kind]) return;
  if (kind === "rectangle") {
    const [[a, b], [c, d]] = points;
    draft.points = [[Math.min(a, c), Math.min(b, d)], [Math.max(a, c), Math.max(b, d)]];
  }
  draft.done = true;
  $("regions-said").textContent = "Give it a name: letters, digits, _ and -.";
  drawn();
  $("region-name").focus();
}
const inside = share => Math.min(Math.max(share, 0), 1);
function shareAt(event) {
  const box = drawing.getBoundingClientRect();
  return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
}
let pressed = null;
drawing.addEventListener("pointerdown", event => {
  if (!draft || draft.done || !event.isPrimary) return;
  event.preventDefault();
  drawing.focus();
  drawing.setPointerCapture(event.pointerId);
  pressed = shareAt(event);
  draft.cursor = pressed;
  // a drag draws a line or a rectangle in one go
  if (["line", "rectangle"].includes(draft.kind) && !draft.points.length) draft.points.push(pressed);
  drawn();
});
drawing.addEventListener("pointermove", event => {
  if (!draft || draft.done || (!pressed && event.pointerType === "touch")) return;
  draft.cursor = shareAt(event);
  drawn();
});
drawing.addEventListener("pointerup", event => {
  if (!draft || draft.done || !pressed) return;
  const at = shareAt(event), dragged = gap(at, pressed) > .02, only = draft.points.length === 1 && draft.points[0] === pressed;
  pressed = null;
  if (!only || dragged) setPoint(at);
});
// or the click that follows the last touch would hit what has scrolled under the finger
drawing.addEventListener("touchend", event => { if (event.cancelable) event.preventDefault(); }, {passive: false});
drawing.addEventListener("pointercancel", () => { pressed = null; });
drawing.addEventListener("keydown", event => {
  if (!draft || draft.done) return;
  const by = event.shiftKey ? .05 : .01, step = {ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by]}[event.key];
  if (step) draft.cursor = (draft.cursor || [.5, .5]).map((share, axis) => inside(share + step[axis]));
  else if (event.key === "Enter" || event.key === " ") setPoint(draft.cursor ||= [.5, .5]);
  else if (event.key === "Backspace") draft.points.pop();
  else if (event.key === "Escape") cancel();
  else return;
  event.preventDefault();
  if (draft?.cursor && step) $("regions-said").textContent = `${draft.cursor.map(share => `${Math.round(share * 100)} %`).join(", ")}; ${draft.points.length} set`;
  drawn();
});
// the shape as the settings file writes it, in percent of the infrared frame
function written({kind, points}) {
  const there = (kind === "rectangle" ? corners(points) : points).map(point => through(places.to_infrared, point));
  if (there.some(point => point.some(share => share < -.005 || share > 1.005))) throw new Error("The infrared camera doesn't see all of this place; draw it smaller.");
  const percent = share => Number((inside(share) * 100).toFixed(2));
  const at = there.map(point => point.map(percent)), [a, b, c, d] = at;
  const near = (x, y) => Math.abs(x - y) < .2;
  if (kind === "rectangle" && near(a[1], b[1]) && near(c[1], d[1]) && near(a[0], d[0]) && near(b[0], c[0])) {
    // down, so that a corner and a size never add up to more than 100
    const size = axis => Math.floor((c[axis] - a[axis]) * 100) / 100;
    return `${size(0)}%x${size(1)}%+${a[0]}%+${a[1]}%`;
  }
  return at.map(([x, y]) => `${x}%,${y}%`).join(" ");
}
// saved: the drawing that these values finish, if they do
async function saveRegion(values, saved) {
  try {
    if (!told) await loadSettings();
    if (told.trouble) throw new Error(told.trouble);
    await save(values);
    savedTo("regions-said");
    // unless the next is being drawn by now
    if (saved && draft === saved) draft = null;
    regions();
  } catch (error) {
    $("regions-said").textContent = error.message;
    // so that the next attempt starts from the file as it is now
    told = null;
  }
}
$("region-form").addEventListener("submit", event => {
  event.preventDefault();
  const name = $("region-name").value.trim();
  if (name !== draft.name && places.regions.some(one => one.name === name)) { $("regions-said").textContent = `There is a region ${name} already; give another name.`; return; }
  try { saveRegion({...(draft.name && draft.name !== name ? {[`region.${draft.name}`]: null} : {}), [`region.${name}.shape`]: written(draft)}, draft); }
  catch (error) { $("regions-said").textContent = error.message; }
});
const removeRegion = name => { if (confirm(`Remove the region ${name}?`)) saveRegion({[`region.${name}`]: null}, draft?.name === name ? draft : null); };
for (const button of document.querySelectorAll("[data-draw]")) button.addEventListener("click", () => begin(draft && !draft.done ? draft.name : "", button.dataset.draw));
$("draw-finish").addEventListener("click", finish);
$("draw-cancel").addEventListener("click", cancel);
panel("regions").addEventListener("toggle", regions);
document.addEventListener("visibilitychange", () => { if (!document.hidden) regions(); });
