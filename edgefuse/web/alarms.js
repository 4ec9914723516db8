// ---- alarms: a sentence for each that is raised or can't work, with the picture of the moment
const title = name => { const words = name.replace(/[_-]+/g, " "); return words[0].toUpperCase() + words.slice(1); };
const UNITS = {celsius: "°C", fahrenheit: "°F", counts: "counts"};
function amount(value, unit, digits) {
  if (unit === "people") return `${value}\u00a0${value === 1 ? "person" : "people"}`;
  const text = unit === "counts" ? Math.round(value).toString() : value.toFixed(digits ?? 1);
  // no line break before the unit
  return `${text.replace("-", "−")}\u00a0${UNITS[unit]}`;
}
// a limit as it was given: 35, not 35.0
function limit(a) {
  if (a.at_least != null) return `at least ${amount(a.at_least, a.unit)}`;
  const side = a.above != null ? "above" : "below";
  return `${side} ${amount(a[side], a.unit, a[side] % 1 ? 1 : 0)}`;
}
function clock(seconds) {
  const when = new Date(seconds * 1000), time = when.toLocaleTimeString([], {hour12: false});
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}
function measured(a) {
  if (a.value == null) return "";
  if (a.measure === "area" && a.pixels != null) return `${a.pixels} pixel${a.pixels === 1 ? "" : "s"} up to ${amount(a.value, a.unit)}`;
  return (a.measure === "mean" ? "mean " : "") + amount(a.value, a.unit);
}
function alarmText(a) {
  if (a.state !== "raised") return `${title(a.name)} can't be checked: ${a.unavailable}`;
  const since = a.since_s ? ` since ${clock(a.since_s)}` : "";
  return `${title(a.name)}: ${[measured(a), limit(a) + since].filter(Boolean).join(", ")}${a.unavailable ? ` (not checked now: ${a.unavailable})` : ""}`;
}
function momentText(m) {
  const extreme = m.extreme == null ? "" : `, ${m.below == null ? "at most" : "at least"} ${amount(m.extreme, m.unit)}`;
  return `${title(m.name)}: ${limit(m)} from ${clock(m.begin_s)}${m.end_s ? ` to ${clock(m.end_s)}${extreme}` : ""}`;
}
// an event of the run: of an alarm a sentence, of all else its state and its facts
function eventText(event) {
  const {state, ...facts} = event.facts, unit = [...Object.keys(UNITS), "people"].find(name => facts[name] != null);
  if (event.kind === "alarm" && unit && (state === "raised" || state === "cleared")) {
    const lasted = facts.lasted_s == null ? "" : ` after ${Math.round(facts.lasted_s)}\u00a0s`;
    return `${title(event.name)} ${state}${lasted}: ${measured({measure: facts.measure, pixels: facts.pixels, unit, value: facts[unit]})}`;
  }
  const told = [...(state == null ? [] : [state]), ...Object.entries(facts).map(([key, value]) => `${key} ${value}`)].join(", ");
  return `${event.kind === event.name ? title(event.kind) : `${event.kind} ${event.name}`}${told ? `: ${told}` : ""}`;
}
let announced = "";
function alarms(list, moments) {
  const active = list.filter(a => a.state === "raised" || a.unavailable);
  const raised = active.filter(a => a.state === "raised");
  fill($("alarm-list"), active, a => {
    const moment = a.state === "raised" && moments.find(m => m.name === a.name && !m.end_s && m.picture);
    return {key: `${a.name} ${a.state} ${moment ? moment.id : ""}`, text: alarmText(a), kind: a.state === "raised" ? "raised" : "fault", moment};
  });
  const past = moments.filter(m => m.end_s);
  fill($("past-list"), past, m => ({key: `${m.id} ${m.picture}`, text: momentText(m), kind: "past", moment: m.picture && m}));
  $("past").hidden = !past.length;
  $("past-count").textContent = past.length;
  $("alarms").hidden = !active.length && !past.length;
  $("alarms").classList.toggle("raised", raised.length > 0);
  // read out once, and not again with each new value
  const now = raised.map(a => `${a.name} ${a.since_s}`).join();
  if (now !== announced) {
    announced = now;
    $("announced").textContent = raised.map(alarmText).join(". ");
  }
  document.title = raised.length ? `⚠ ${title(raised[0].name)} – EdgeFuse` : "EdgeFuse";
}
// keeps the items, and with them the focus, as long as they stand for the same
function fill(box, list, of) {
  const old = new Map([...box.children].map(item => [item.dataset.key, item]));
  const items = list.map(each => {
    const {key, text, kind, moment} = of(each);
    const item = old.get(key) || alarmItem(key, kind, moment);
    const sentence = item.querySelector(".sentence");
    if (sentence.textContent !== text) sentence.textContent = text;
    return item;
  });
  if (items.length !== box.children.length || items.some((item, k) => item !== box.children[k])) box.replaceChildren(...items);
}
function alarmItem(key, kind, moment) {
  const item = document.createElement("li"), sentence = document.createElement("p");
  item.dataset.key = key;
  item.className = kind;
  sentence.className = "sentence";
  if (moment) {
    const button = document.createElement("button"), picture = new Image();
    button.type = "button";
    button.className = "thumb";
    button.setAttribute("aria-label", `${title(moment.name)}: the picture of ${clock(moment.begin_s)}`);
    picture.src = `/moment.jpg?id=${moment.id}`;
    picture.alt = "";
    button.append(picture);
    button.addEventListener("click", () => showMoment(moment, item));
    item.append(button);
  }
  item.append(sentence);
  return item;
}
function showMoment(moment, item) {
  $("moment-picture").src = `/moment.jpg?id=${moment.id}`;
  $("moment-title").textContent = item.querySelector(".sentence").textContent;
  $("moment-picture").alt = `The fused picture when ${title(moment.name)} was raised`;
  const mark = $("moment-mark");
  mark.hidden = !moment.mark || moment.mark.some(share => share < 0 || share > 1);
  if (!mark.hidden) { mark.style.left = `${moment.mark[0] * 100}%`; mark.style.top = `${moment.mark[1] * 100}%`; }
  $("moment").showModal();
}
