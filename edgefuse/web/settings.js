// ---- settings: what can change while the run goes on, saved to its file
const GROUPS = {run: "Picture", thermal: "Temperatures", recording: "Recording", alarm: "Alarm", region: "Region"};
const ENDS = {celsius: "°C", s: "s", m: "m", percent: "%"}, SHORT = {agc: "Gain control"};
function labelOf(key) {
  const words = key.split("_"), end = words.length > 1 && ENDS[words.at(-1)];
  return SHORT[key] || title(end ? `${words.slice(0, -1).join(" ")}, ${end}` : key);
}
let told = null, waitingFor = 0;
async function post(path, value) {
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(value)});
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.trim());
  return JSON.parse(text);
}
async function loadSettings() {
  const answer = await fetch("/settings.json");
  if (!answer.ok) throw new Error((await answer.text()).trim());
  told = await answer.json();
}
// changes values in the file, and waits for the reload that applies them
async function save(values) {
  const since = Date.now() / 1000 - 2;
  const answer = await post("/settings", {digest: told.digest, values});
  told.digest = answer.digest;
  if (answer.changed) waitingFor = since;
  return answer.changed;
}
function reloaded(events) {
  const event = waitingFor && events.find(e => e.kind === "reload" && e.time_s > waitingFor);
  if (!event) return;
  waitingFor = 0;
  const refused = event.facts.state === "refused";
  for (const id of ["settings-said", "regions-said", "calibration-said"]) if ($(id)?.dataset.saved) {
    delete $(id).dataset.saved;
    $(id).textContent = refused ? `Saved, but the run goes on as before: ${event.facts.error}` : "Saved, and applied.";
  }
  if (panel("settings").open && !dirty().length) showSettings();
}
function savedTo(id) {
  $(id).dataset.saved = "yes";
  $(id).textContent = `Saved to ${told.file}.`;
}
async function showSettings() {
  if (!panel("settings").open) return;
  try {
    await loadSettings();
    buildSettings();
    $("settings-file").textContent = told.trouble || `From ${told.file}; comments in it are kept.`;
    if (!$("settings-said").textContent.startsWith("Saved")) $("settings-said").textContent = "";
  } catch (error) { $("settings-fields").replaceChildren(); $("settings-said").textContent = error.message; }
  dirtied();
}
function buildSettings() {
  const groups = new Map();
  for (const one of told.settings) {
    const [table, name] = one.key.split(".").length > 2 ? one.key.split(".") : [one.key.split(".")[0], ""];
    const heading = `${GROUPS[table]}${name ? ` ${name}` : ""}`;
    if (!groups.has(heading)) {
      const set = document.createElement("fieldset");
      set.append(Object.assign(document.createElement("legend"), {textContent: heading}));
      groups.set(heading, set);
    }
    groups.get(heading).append(settingField(one));
  }
  $("settings-fields").replaceChildren(...groups.values());
}
// the help of the command line and the settings file, without what has no meaning on a page
function explained(help) {
  const text = help.replace(/ \(docs\/[^)]*\)/, "").replace("; separated by commas", "").replace("the unit of --unit", "the unit of the temperatures");
  return text[0].toUpperCase() + text.slice(1);
}
function settingField(one) {
  const id = `setting-${one.key.replaceAll(".", "-")}`, label = labelOf(one.key.split(".").at(-1));
  const box = document.createElement("div"), help = document.createElement("small");
  box.className = "setting";
  help.id = `${id}-help`;
  help.textContent = one.fixed ? `Set by ${one.fixed}, which has precedence over the file.` : explained(one.help);
  const off = Boolean(one.fixed || told.trouble);
  if (one.kind === "words") {
    const group = document.createElement("div");
    group.className = "words";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", label);
    group.append(...one.choices.map(choice => {
      const word = document.createElement("label"), tick = document.createElement("input");
      Object.assign(tick, {type: "checkbox", value: choice, checked: one.value.includes(choice), disabled: off});
      word.append(tick, choice);
      return word;
    }));
    box.append(Object.assign(document.createElement("span"), {textContent: label}), group, help);
  } else {
    const name = document.createElement("label"), input = control(one);
    Object.assign(input, {id, disabled: off});
    input.setAttribute("aria-describedby", help.id);
    Object.assign(name, {htmlFor: id, textContent: label});
    box.append(name, input, help);
  }
  box.dataset.key = one.key;
  return box;
}
function control(one) {
  if (one.kind === "choice") {
    const select = document.createElement("select");
    if (one.optional) select.append(new Option("(default)", ""));
    select.append(...one.choices.map(choice => new Option(choice, choice)));
    select.value = one.value ?? "";
    return select;
  }
  const input = document.createElement("input");
  if (one.kind === "flag") { input.type = "checkbox"; input.checked = one.value; return input; }
  input.type = one.kind === "text" ? "text" : "number";
  if (one.kind !== "text") {
    input.step = one.kind === "whole" ? 1 : "any";
    if (one.least != null) input.min = one.least;
    if (one.most != null) input.max = one.most;
    input.required = !one.optional;
    input.placeholder = one.optional ? "default" : "";
  }
  input.value = one.value ?? "";
  return input;
}
function settingValue(one) {
  const box = document.querySelector(`.setting[data-key="${one.key}"]`);
  if (one.kind === "words") return [...box.querySelectorAll("input:checked")].map(tick => tick.value);
  const input = box.querySelector("input, select");
  if (one.kind === "flag") return input.checked;
  if (input.value === "") return one.kind === "text" ? "" : null;
  return one.kind === "number" || one.kind === "whole" ? Number(input.value) : input.value;
}
const same = (a, b) => JSON.stringify(Array.isArray(a) ? [...a].sort() : a) === JSON.stringify(Array.isArray(b) ? [...b].sort() : b);
const dirty = () => told && $("settings-fields").children.length ? told.settings.filter(one => !same(settingValue(one), one.value)) : [];
function dirtied() {
  const changes = dirty();
  $("settings-save").disabled = !changes.length;
  for (const box of document.querySelectorAll(".setting")) box.classList.toggle("changed", changes.some(one => one.key === box.dataset.key));
}
$("settings-form").addEventListener("input", dirtied);
$("settings-form").addEventListener("submit", async event => {
  event.preventDefault();
  const values = Object.fromEntries(dirty().map(one => [one.key, settingValue(one)]));
  $("settings-save").disabled = true;
  $("settings-said").textContent = "Checking";
  try {
    if (await save(values)) savedTo("settings-said");
    else $("settings-said").textContent = "Saved: nothing in the file had to change.";
    await showSettings();
  } catch (error) { $("settings-said").textContent = error.message; dirtied(); }
});
$("settings-load").addEventListener("click", () => { $("settings-said").textContent = ""; showSettings(); });
panel("settings").addEventListener("toggle", showSettings);
