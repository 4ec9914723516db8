// ---- recordings: listed, played and downloaded
const KINDS = {mp4: "Video", png: "Snapshot", efr: "Raw pairs"};
const STEP = 20;
let recordingsShown = STEP, recordingsTimer = 0;
const panel = name => $(`${name}-panel`);
function size(bytes) {
  const [unit, by] = bytes >= 1e9 ? ["GB", 1e9] : bytes >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  return `${(bytes / by).toFixed(bytes >= 1e5 && bytes / by < 100 ? 1 : 0)} ${unit}`;
}
async function recordings() {
  clearTimeout(recordingsTimer);
  if (!panel("recordings").open) return;
  try {
    const answer = await fetch(`/recordings.json?count=${recordingsShown}`);
    if (!answer.ok) throw new Error(await answer.text());
    listRecordings(await answer.json());
  } catch (error) { $("recordings-said").textContent = error.message; }
  if (!document.hidden) recordingsTimer = setTimeout(recordings, 5000);
}
function listRecordings(told) {
  const box = $("recordings-list"), text = JSON.stringify(told);
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  const focused = document.activeElement?.dataset?.of;
  box.replaceChildren(...told.recordings.map(recordingRow));
  if (focused) box.querySelector(`[data-of="${focused}"]`)?.focus();
  $("recordings-more").hidden = told.recordings.length >= told.count;
  $("recordings-said").textContent = !told.kept ? "Recording is not set up: add [recording] to the settings file." :
    told.count ? `${told.count} file${told.count === 1 ? "" : "s"}, ${size(told.bytes)}` : "No recordings yet.";
}
function recordingRow(one) {
  const row = document.createElement("li"), about = document.createElement("div"), when = document.createElement("time");
  const kind = KINDS[one.name.split(".").at(-1)], began = new Date(one.begin_s * 1000);
  when.dateTime = began.toISOString();
  when.textContent = began.toLocaleString([], {dateStyle: "medium", timeStyle: "medium", hour12: false});
  about.append(when, Object.assign(document.createElement("small"), {textContent: `${kind}, ${size(one.bytes)}`}));
  row.append(about);
  row.className = one.open ? "open" : "";
  if (one.open) {
    row.append(Object.assign(document.createElement("span"), {className: "chip", textContent: "being written"}));
    return row;
  }
  const save = document.createElement("a");
  save.href = `/recordings/${one.name}?download`;
  save.download = one.name;
  save.className = "button";
  save.textContent = "Download";
  save.setAttribute("aria-label", `Download ${kind.toLowerCase()} of ${when.textContent}`);
  save.dataset.of = `save ${one.name}`;
  if (kind !== "Raw pairs") {
    const play = document.createElement("button");
    play.type = "button";
    play.textContent = kind === "Video" ? "Play" : "Show";
    play.setAttribute("aria-label", `${play.textContent} ${kind.toLowerCase()} of ${when.textContent}`);
    play.dataset.of = `play ${one.name}`;
    play.addEventListener("click", () => playRecording(one.name, kind, when.textContent));
    row.append(play);
  }
  row.append(save);
  return row;
}
function playRecording(name, kind, when) {
  const video = $("player"), still = $("still");
  $("player-title").textContent = `${kind} of ${when}`;
  $("player-said").textContent = "";
  video.hidden = kind !== "Video";
  still.hidden = kind === "Video";
  (kind === "Video" ? video : still).src = `/recordings/${name}`;
  $("player-box").showModal();
  if (kind === "Video") video.play().catch(() => {});
}
$("player").addEventListener("error", () => {
  if ($("player").getAttribute("src")) $("player-said").textContent = "This browser can't play this file; download it.";
});
$("player-box").addEventListener("close", () => {
  // ends the connection
  const video = $("player");
  video.pause();
  video.removeAttribute("src");
  video.load();
  $("still").removeAttribute("src");
});
panel("recordings").addEventListener("toggle", recordings);
$("recordings-more").addEventListener("click", () => { recordingsShown += STEP; recordings(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) recordings(); });
