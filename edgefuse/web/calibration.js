// ---- calibration: made from the scene before the cameras, looked at, then saved or not
let calibrationTimer = 0, calibrationShown = "";
async function calibration() {
  clearTimeout(calibrationTimer);
  if (!panel("calibration").open) return;
  try {
    const answer = await fetch("/calibration.json");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    showCalibration(await answer.json());
  } catch (error) {
    $("calibration-said").textContent = error.message;
    if ($("calibration-start").disabled) followCalibration(); // one lost answer doesn't end what is under way
  }
}
function followCalibration() {
  clearTimeout(calibrationTimer);
  calibrationTimer = setTimeout(calibration, 500);
}
function showCalibration(now) {
  const busy = ["collecting", "estimating"].includes(now.state), done = now.state === "done";
  $("calibration-start").disabled = busy;
  $("calibration-result").hidden = !done;
  if (now.state === "collecting") $("calibration-said").textContent = `Taking pairs: ${now.pairs} of ${now.wanted}`;
  if (now.state === "estimating") $("calibration-said").textContent = "Comparing the edges of both cameras";
  if (now.state === "failed") $("calibration-said").textContent = `${now.why[0].toUpperCase()}${now.why.slice(1)}.`;
  if (done) {
    $("calibration-facts").textContent = `Error ${now.error_px.toFixed(2)} px of ${now.visible_size.join(" x ")}; ${now.placed}; edges agree to ${now.agreement.toFixed(2)} (1 is all).`;
    $("calibration-said").textContent = `Look whether the orange edges lie on the picture's. Saving ${now.replaces ? "replaces" : "makes"} ${now.file}.`;
    if (calibrationShown !== now.placed) { calibrationShown = now.placed; $("calibration-picture").src = `/calibration.png?${Date.now()}`; }
  }
  if (busy) followCalibration();
}
async function calibrate(what) {
  const distance = Number($("calibration-distance").value) || null;
  try {
    const now = await post("/calibration", {do: what, distance_m: distance});
    if (what !== "save") { if (what === "discard") $("calibration-said").textContent = ""; showCalibration(now); return; }
    waitingFor = Date.now() / 1000 - 2;
    $("calibration-result").hidden = true;
    $("calibration-said").dataset.saved = "yes";
    $("calibration-said").textContent = `Saved to ${now.saved}.`;
    told = null;
  } catch (error) { $("calibration-said").textContent = error.message; }
}
$("calibration-form").addEventListener("submit", event => { event.preventDefault(); calibrate("start"); });
$("calibration-save").addEventListener("click", () => calibrate("save"));
$("calibration-discard").addEventListener("click", () => calibrate("discard"));
panel("calibration").addEventListener("toggle", calibration);
