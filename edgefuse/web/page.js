"use strict";
const $ = id => document.getElementById(id);
const NAMES = {visible: "Visible", fused: "Fused", infrared: "Infrared", map: "Map"};
const stage = $("stage"), canvas = $("picture"), pen = canvas.getContext("2d"), blend = $("blend"), palette = $("palette"), chosen = $("chosen");
let chosenAt = -Infinity;
const HISTORY = 300, STATE_MS = 1000, LATE_MS = 5000;

// the view: a blend from -1 (visible) over 0 (fused) to 1 (infrared), or the map
const view = {map: false, inputs: false, spots: true, paused: false, regions: false};
const share = () => Number(blend.value) / 100;
const named = name => name === "infrared" ? `infrared:${palette.value}` : name;
const base = () => view.map ? "map" : Math.abs(share()) === 1 ? (share() < 0 ? "visible" : "infrared") : over() || view.regions ? "fused" : "shown";
const over = () => view.map || share() === 0 || Math.abs(share()) === 1 ? null : share() < 0 ? "visible" : "infrared";
function wanted() {
  const names = new Set([base()]);
  if (over()) names.add(over());
  if (view.inputs) ["visible", "infrared", "map"].forEach(n => names.add(n));
  return [...names].map(named);
}

// ---- the stream: one multipart response holds all views of a frame, so that they show the same moment
let stream = null, streamViews = "", shown = new Map(), facts = {}, lastAt = 0, retryMs = 1000, retry = 0;

function play() {
  const of = wanted().join(",");
  if (view.paused || document.hidden) { stop(); return; }
  if (stream && streamViews === of) return;
  stop();
  streamViews = of;
  stream = new AbortController();
  follow(of, stream).catch(() => {});
}
function stop() {
  clearTimeout(retry);
  if (stream) stream.abort();
  stream = null;
}
async function follow(of, mine) {
  let why = "The connection was lost; trying again";
  try {
    const answer = await fetch(`/stream.mjpg?view=${encodeURIComponent(of)}`, {signal: mine.signal});
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) { why = await answer.text(); throw new Error(why); }
    lastAt = performance.now();
    const reader = answer.body.getReader();
    let left = new Uint8Array(0), pictures = new Map();
    for (;;) {
      const {done, value} = await reader.read();
      if (done) break;
      left = joined(left, value);
      for (let taken; (taken = part(left)); left = left.subarray(taken.end)) {
        pictures.set(taken.view, taken);
        // a frame is complete when all its views have arrived
        if (pictures.size === of.split(",").length) { frame(pictures); pictures = new Map(); }
      }
    }
  } catch (error) {
    if (mine.signal.aborted) return;
  }
  if (mine !== stream) return;
  stream = null;
  veil(why);
  retry = setTimeout(play, retryMs);
  retryMs = Math.min(10000, retryMs * 2);
}
function joined(a, b) {
  if (!a.length) return b;
  const all = new Uint8Array(a.length + b.length);
  all.set(a); all.set(b, a.length);
  return all;
}
const ascii = new TextDecoder("latin1");
function part(bytes) {
  // a part's header is short, so search its end only near the beginning
  const head = ascii.decode(bytes.subarray(0, 2048)), end = head.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const fields = Object.fromEntries(head.slice(0, end).split("\r\n").slice(1).map(line => {
    const at = line.indexOf(":");
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
  }));
  const from = end + 4, size = Number(fields["content-length"]);
  if (!(size >= 0)) return {end: bytes.length, view: "", data: null};
  if (bytes.length < from + size + 2) return null;
  return {end: from + size + 2, view: fields["x-view"], facts: fields["x-frame"], data: bytes.slice(from, from + size)};
}
let decoding = false, next = null;
async function frame(pictures) {
  // newest only: a frame that arrives during decoding replaces the one that waits
  if (decoding) { next = pictures; return; }
  decoding = true;
  try {
    const made = await Promise.all([...pictures].map(async ([name, p]) =>
      [name, await createImageBitmap(new Blob([p.data], {type: "image/jpeg"}))]));
    for (const bitmap of shown.values()) bitmap.close();
    shown = new Map(made);
    facts = JSON.parse(pictures.values().next().value.facts);
    lastAt = performance.now();
    retryMs = 1000;
    veil("");
    draw();
  } finally {
    decoding = false;
    if (next) { const waiting = next; next = null; frame(waiting); }
  }
}

// ---- drawing
function fit(target, bitmap) {
  if (target.width !== bitmap.width || target.height !== bitmap.height) { target.width = bitmap.width; target.height = bitmap.height; }
}
function draw() {
  const first = shown.get(named(base())), second = over() && shown.get(named(over()));
  if (first) {
    fit(canvas, first);
    stage.style.setProperty("--shape", `${first.width} / ${first.height}`);
    stage.style.setProperty("--ratio", first.width / first.height);
    fitDrawing(first.width, first.height);
    pen.globalAlpha = 1;
    pen.drawImage(first, 0, 0);
    if (second) { pen.globalAlpha = Math.abs(share()); pen.drawImage(second, 0, 0); }
  }
  if (view.inputs) for (const small of document.querySelectorAll("[data-source]")) {
    const bitmap = shown.get(named(small.dataset.source));
    if (bitmap) { fit(small, bitmap); small.getContext("2d").drawImage(bitmap, 0, 0); }
  }
  spots();
}
const SIGNS = { celsius: "°C", fahrenheit: "°F" };
const degrees = spot => facts.unit in SIGNS ? `${spot.value.toFixed(1).replace("-", "−")} ${SIGNS[facts.unit]}` : `${Math.round(spot.value)} counts`;
function spots() {
  // these views show the infrared picture elsewhere than the fused one does
  const moved = base() === "shown" && !["fused", "edges", "highlight"].includes(chosen.value);
  for (const [id, key, out] of [["hot", "hottest", "hottest"], ["cold", "coldest", "coldest"]]) {
    const spot = facts[key], mark = $(id);
    const inside = spot && spot.x >= 0 && spot.x <= 1 && spot.y >= 0 && spot.y <= 1;
    mark.hidden = !inside || !view.spots || moved;
    if (inside) {
      // keep marks at the edge inside
      mark.style.left = `clamp(.8rem, ${spot.x * 100}%, 100% - .8rem)`;
      mark.style.top = `clamp(.8rem, ${spot.y * 100}%, 100% - .8rem)`;
      mark.classList.toggle("left", spot.x > .75);
      mark.firstElementChild.textContent = degrees(spot);
    }
    $(out).textContent = spot ? degrees(spot) : "";
  }
  $("heat").hidden = !facts.hottest;
}
function veil(text) {
  $("veil").textContent = text;
  $("veil").hidden = !text;
}
function say(text) { $("said").textContent = text; }

// ---- controls
function describe() {
  if (view.map) return "Map";
  const s = share();
  if (s === 0) return view.regions || chosen.value === "fused" ? "Fused" : `View ${chosen.value}`;
  if (Math.abs(s) === 1) return s < 0 ? "Visible" : "Infrared";
  return `Fused, ${Math.round(Math.abs(s) * 100)} % ${s < 0 ? "visible" : "infrared"}`;
}
function changed() {
  const now = view.map ? "map" : share() === 0 ? "fused" : share() === -1 ? "visible" : share() === 1 ? "infrared" : "";
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === now);
  $("badge").textContent = describe();
  blend.setAttribute("aria-valuetext", describe());
  canvas.setAttribute("aria-label", `${describe()}, live`);
  const query = new URLSearchParams({view: named(base())});
  if (over()) { query.set("over", named(over())); query.set("share", Math.abs(share())); }
  $("snapshot").href = `/picture.png?${query}`;
  $("sources").hidden = !view.inputs;
  for (const [id, on] of [["inputs", view.inputs], ["spots", view.spots], ["pause", view.paused]]) $(id).setAttribute("aria-pressed", on);
  $("pause").textContent = view.paused ? "Resume" : "Pause";
  if (shown.size) draw();
  play();
}
function look(name) {
  view.map = name === "map";
  if (!view.map) blend.value = {visible: -100, fused: 0, infrared: 100}[name];
  changed();
}
function toggle(what) { view[what] = !view[what]; changed(); }
blend.addEventListener("input", () => {
  view.map = false;
  // snap to the three pictures
  for (const stop of [-100, 0, 100]) if (Math.abs(blend.value - stop) < 6) blend.value = stop;
  changed();
});
blend.addEventListener("keydown", event => {
  const step = {ArrowLeft: -10, ArrowDown: -10, ArrowRight: 10, ArrowUp: 10}[event.key];
  if (step) { event.preventDefault(); event.stopPropagation(); nudge(step); }
});
function nudge(step) { blend.value = Number(blend.value) + step; view.map = false; changed(); }
document.querySelectorAll("[data-view]").forEach(button => button.addEventListener("click", () => look(button.dataset.view)));
palette.addEventListener("change", () => { if (!view.map && share() <= 0 && !view.inputs) look("infrared"); else changed(); });
chosen.addEventListener("change", async () => {
  chosenAt = performance.now();
  try {
    const answer = await fetch("/view", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({view: chosen.value})});
    if (!answer.ok) throw new Error(await answer.text());
    say(`The view ${chosen.value} is shown, recorded and streamed.`);
    look("fused");
  } catch (error) { say(error.message); }
  chosenAt = performance.now();
});
for (const what of ["inputs", "spots", "pause"]) $(what).addEventListener("click", () => toggle(what === "pause" ? "paused" : what));
$("full").addEventListener("click", full);
function full() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => say("This browser does not allow full screen here."));
}
$("snapshot").addEventListener("click", () => say(`Snapshot of ${describe().toLowerCase()} downloaded.`));
$("record").addEventListener("click", async () => {
  const button = $("record"), on = button.getAttribute("aria-pressed") !== "true";
  button.disabled = true;
  try {
    const answer = await fetch("/record", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({on})});
    if (!answer.ok) throw new Error(await answer.text());
    record(on);
    say(on ? "Recording." : "Recording ended.");
  } catch (error) { say(error.message); }
  button.disabled = false;
});
function record(on) {
  $("record").setAttribute("aria-pressed", on);
  $("record").lastChild.textContent = on ? "Stop recording" : "Record";
  $("recording").hidden = !on;
}
const keys = $("keys");
$("help").addEventListener("click", () => keys.showModal());
keys.addEventListener("close", () => { if (keys.contains(document.activeElement)) document.activeElement.blur(); });
document.addEventListener("keydown", event => {
  // keys of fields, of dialogs and of drawing are their own
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("dialog, select, textarea, input:not([type=range]), .own-keys")) return;
  const does = {
    1: () => look("visible"), 2: () => look("fused"), 3: () => look("infrared"), 4: () => look("map"),
    arrowleft: () => nudge(-10), arrowright: () => nudge(10),
    v: () => {
      if (chosen.disabled) return;
      chosen.selectedIndex = (chosen.selectedIndex + 1) % chosen.length;
      chosen.dispatchEvent(new Event("change"));
    },
    p: () => { palette.selectedIndex = (palette.selectedIndex + 1) % palette.length; palette.dispatchEvent(new Event("change")); },
    i: () => toggle("inputs"), t: () => toggle("spots"), f: full, s: () => $("snapshot").click(), r: () => $("record").click(),
    "?": () => keys.showModal(),
    " ": () => { if (/BUTTON|A|INPUT|SUMMARY/.test(event.target.tagName)) return true; toggle("paused"); },
  }[event.key.toLowerCase()];
  if (does && does() !== true) event.preventDefault();
});
document.addEventListener("visibilitychange", () => { play(); if (!document.hidden) poll(); });

// ---- status
const number = (value, digits) => value == null ? "–" : value.toFixed(digits);
const PLOTS = [
  {key: "fps", name: "Speed", unit: "FPS", digits: 1},
  {key: "latency_ms", name: "Latency", unit: "ms", digits: 1},
  {key: "memory_mb", name: "Memory", unit: "MB", digits: 0},
  {key: "temperature_c", name: "Processor", unit: "°C", digits: 1},
  {key: "in_mb_s", second: "out_mb_s", name: "Bandwidth", told: "cameras to fused, uncompressed", unit: "MB/s", digits: 1},
];
let samples = [];
for (const plot of PLOTS) {
  const box = document.createElement("div");
  box.className = plot.second ? "plot wide" : "plot";
  box.innerHTML = `<span class="name"></span><span class="value"></span>
    <svg viewBox="0 0 300 40" preserveAspectRatio="none" role="img"><line x1="0" x2="300" y1="40" y2="40"/><path class="area"/><path/><path class="second"/></svg>
    <span class="range"><span></span><span></span></span>`;
  box.firstChild.textContent = plot.name;
  if (plot.told) box.title = plot.told;
  plot.box = box;
  $("plots").append(box);
}
function line(key, high) {
  const span = Math.max(60, samples.length) - 1;
  return samples.map((s, k) => s[key] == null ? null : [300 * (1 + (k + 1 - samples.length) / span), 40 - 38 * s[key] / high]).filter(Boolean);
}
const path = points => points.length ? `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}` : "";
function plots() {
  for (const plot of PLOTS) {
    const values = samples.map(s => s[plot.key]).filter(v => v != null), box = plot.box;
    box.hidden = !values.length;
    if (!values.length) continue;
    const second = plot.second ? samples.map(s => s[plot.second]).filter(v => v != null) : [];
    const high = Math.max(...values, ...second, 1e-9) * 1.08, now = values.at(-1);
    const [area, first, other] = box.querySelectorAll("path"), points = line(plot.key, high);
    first.setAttribute("d", path(points));
    area.setAttribute("d", points.length ? `${path(points)}L${points.at(-1)[0]} 40L${points[0][0]} 40Z` : "");
    other.setAttribute("d", plot.second ? path(line(plot.second, high)) : "");
    const told = number(now, plot.digits) + (plot.second ? ` → ${number(second.at(-1), plot.digits)}` : "");
    const value = box.querySelector(".value"), low = Math.min(...values), top = Math.max(...values);
    value.replaceChildren(told, " ", Object.assign(document.createElement("small"), {textContent: plot.unit}));
    const [left, right] = box.querySelectorAll(".range span");
    left.textContent = `${number(low, plot.digits)} to ${number(top, plot.digits)}`;
    right.textContent = samples.length < 60 ? `${samples.length} s` : `${Math.round(samples.length / 60)} min`;
    box.querySelector("svg").setAttribute("aria-label", `${[plot.name, plot.told].filter(Boolean).join(", ")}: now ${told} ${plot.unit}, ${left.textContent} in ${right.textContent}`);
  }
}
function rows(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, text]) => [
    Object.assign(document.createElement("dt"), {textContent: name}), Object.assign(document.createElement("dd"), {textContent: text})]));
}
function status(state, text) {
  const pill = $("status");
  pill.dataset.state = state;
  if (pill.textContent !== text) pill.textContent = text;
}
let timer = 0, failed = 0;
async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    if (!samples.length) samples = await (await fetch("/history.json")).json();
    const answer = await fetch("/state.json");
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    failed = 0;
  } catch (error) {
    // a single request may fail on a bad radio link
    if (++failed > 1) { status("bad", "Offline"); warn(["no answer from the device; trying again"]); }
  }
  if (stream && !$("veil").textContent && performance.now() - lastAt > LATE_MS) veil("No new picture");
  timer = setTimeout(poll, STATE_MS);
}
function warn(texts) {
  const box = $("warnings"), now = [...box.children].map(p => p.textContent).join("\n");
  box.hidden = !texts.length;
  if (now !== texts.join("\n")) box.replaceChildren(...texts.map(text => Object.assign(document.createElement("p"), {textContent: text})));
}
function show(s) {
  if (s.sample && s.sample.time_s !== samples.at(-1)?.time_s) {
    samples.push(s.sample);
    samples = samples.slice(-HISTORY);
  }
  plots();
  const {report} = s, frames = report.frames || {}, model = report.model || {};
  status(s.health.moving ? "live" : s.health.frames ? "bad" : "wait", s.health.moving ? `Live, ${number(s.sample?.fps, 1)} FPS` : s.health.frames ? "Stalled" : "Starting");
  $("about").textContent = [report.source, model.name && `${model.name} on ${model.runtime}`].filter(Boolean).join(" · ");
  warn(s.warnings);
  alarms(s.alarms, s.moments);
  const causes = Object.entries(report.dropped_by_cause || {}).map(([cause, n]) => `${n} ${cause}`).join(", ");
  const thermal = report.thermal;
  rows($("states"), [
    ...(thermal ? [["Sensor", `${thermal.sensor || "raw"}, ${thermal.state}`]] : []),
    ...(report.recording?.state ? [["Recording", report.recording.state]] : []),
    ["Frames fused", (frames.fused ?? s.health.frames).toLocaleString("en")],
    ["Dropped", (frames.dropped || 0).toLocaleString("en") + (causes ? ` (${causes})` : "")],
    ["Peak memory", `${number(report.peak_resident_mb, 0)} MB`],
    ["Viewers", `${s.viewers} of ${s.viewers_most}, ${number(s.sample?.sent_mb_s, 2)} MB/s`],
    ["Version", report.edgefuse || ""],
  ]);
  cameras(s.cameras);
  events(s.events);
  reloaded(s.events);
  chosen.disabled = !s.commands.includes("view");
  // another viewer may have changed it; a report may be two seconds old
  if (report.view && report.view !== chosen.value && performance.now() - chosenAt > 3000 && document.activeElement !== chosen) { chosen.value = report.view; changed(); }
  const may = s.commands.includes("record"), button = $("record");
  button.disabled = !may;
  button.title = may ? "Record (R)" : "Recording is not set up: add [recording] to the settings";
  if (may && report.recording?.state) record(report.recording.state === "recording");
}
const cameraStates = {live: "Live", held: "Late", calibrating: "Recalibrating", starting: "Starting", frozen: "Frozen", lost: "Gone", retrying: "Gone, trying again"};
function cameras(list) {
  $("cameras").hidden = !Object.keys(list).length;
  const box = $("camera-list");
  for (const [modality, c] of Object.entries(list)) {
    let card = box.querySelector(`[data-camera="${modality}"]`);
    if (!card) {
      card = document.createElement("div");
      card.className = "camera";
      card.dataset.camera = modality;
      card.append(document.createElement("h3"), document.createElement("dl"));
      box.append(card);
    }
    const name = card.querySelector("h3");
    name.textContent = `${NAMES[modality] || modality}: ${cameraStates[c.state] || c.state}`;
    name.dataset.state = ["live", "held", "calibrating"].includes(c.state) ? "live" : "bad";
    const {garbage, frozen, ...others} = c.dropped || {}, whole = n => (n || 0).toLocaleString("en");
    const causes = list => Object.entries(list).filter(([, n]) => n).map(([cause, n]) => `${whole(n)} ${cause}`).join(", ");
    rows(card.querySelector("dl"), [
      ["Camera", c.camera || ""],
      ["Rate", c.fps ? `${c.fps.toFixed(1)} FPS` : "–"],
      ["Last frame", c.last_frame_s == null ? "none yet" : `${c.last_frame_s.toFixed(1)} s ago`],
      ["Received, fused", `${whole(c.received)}, ${whole(c.fused)}`],
      ["Damaged, frozen", `${whole(garbage)}, ${whole(frozen)}`],
      ...(causes(others) ? [["Otherwise not fused", causes(others)]] : []),
      ...(c.missed_by_driver ? [["Missed by the driver", whole(c.missed_by_driver)]] : []),
      ...(causes(c.faults || {}) ? [["Reopened after", causes(c.faults)]] : []),
    ]);
  }
}
function events(list) {
  const text = JSON.stringify(list);
  if ($("events").dataset.text === text || !list.length) return;
  $("events").dataset.text = text;
  $("events").replaceChildren(...list.map(event => {
    const item = document.createElement("li"), time = document.createElement("time"), when = new Date(event.time_s * 1000);
    time.dateTime = when.toISOString();
    time.textContent = when.toLocaleTimeString([], {hour12: false});
    item.append(time, eventText(event));
    return item;
  }));
}
changed();
poll();
