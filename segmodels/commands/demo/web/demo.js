"use strict";

// What the page does: photographs come in, are read and labelled one after the other, and chosen.
// They go to the server that this page is from; it keeps none. view.js shows what it answers.
const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const query = (values) => new URLSearchParams(values).toString();

/** A line that stays until it is put away. */
function complain(name, reason) {
  const put = { type: "button", textContent: "✕", ariaLabel: "Put this line away" };
  const line = element("li", {}, element("span", { textContent: `${name}: ${reason}` }));
  line.append(element("button", { ...put, onclick: () => line.remove() }));
  byId("problems").append(line);
}

/** The server's answer; an Error with its line where it refuses. */
async function ask(path, body) {
  const answer = await fetch(path, body && { method: "POST", body }).catch(() => {
    throw new Error("the server does not answer; is `segmodels demo` still running?");
  });
  if (answer.ok) return answer;
  throw new Error((await answer.json().catch(() => ({}))).error ?? `status ${answer.status}`);
}

/** Photographs that come together; of these, the first that can be read is shown at once. */
function add(files) {
  const batch = { shown: false };
  for (const file of files) {
    if (file.size > state.mostBytes)
      complain(file.name, `${file.size} bytes, expected at most ${state.mostBytes}`);
    else state.photos.push({ name: file.name, file, batch, results: new Map() });
  }
  work();
}

/** What is to be done next: the shown photograph's models first, then reading, then the others. */
function next() {
  const missing = (photo) => photo?.picture && chosen().find((name) => !photo.results.has(name));
  const label = (photo) => () => labelled(photo, missing(photo));
  if (missing(shown())) return label(shown());
  const unread = state.photos.find((photo) => !photo.picture);
  if (unread) return () => read(unread);
  const other = state.photos.find(missing);
  return other && label(other);
}

async function work() {
  if (state.busy) return;
  state.busy = true;
  for (let job = next(); job; job = next()) await job();
  state.busy = false;
}

/** Its picture from the server, which turns it and knows more formats than a browser. */
async function read(photo) {
  try {
    photo.data = await photo.file.arrayBuffer().catch(() => {
      throw new Error("cannot be read; expected a file, no folder");
    });
    const answer = await (await ask("picture", photo.data)).json();
    const blob = new Blob([bytes(answer.picture)], { type: "image/jpeg" });
    photo.picture = await createImageBitmap(blob);
    Object.assign(photo, { ...answer, picture: photo.picture, url: URL.createObjectURL(blob) });
  } catch (error) {
    state.photos.splice(state.photos.indexOf(photo), 1);
    return complain(photo.name, error.message);
  }
  document.body.classList.add("filled");
  byId("thumbs").append(thumb(photo));
  show(photo.batch.shown ? state.at : state.photos.indexOf(photo));
  photo.batch.shown = true;
}

/** A model's labels of a photograph; what went wrong is kept in their place. */
async function labelled(photo, name) {
  try {
    const result = await (await ask(`labels?${query({ model: name })}`, photo.data)).json();
    const stream = new Blob([bytes(result.labels)]).stream();
    const inflated = new Response(stream.pipeThrough(new DecompressionStream("deflate")));
    result.labels = new Uint8Array(await inflated.arrayBuffer());
    result.mask = new Blob([bytes(result.mask)], { type: "image/png" });
    result.tint = tint(result);
    photo.results.set(name, result);
    byId("status").textContent = `${photo.name}, ${brief(name)}: ${sentence(result)}`;
  } catch (error) {
    photo.results.set(name, { error: error.message });
    complain(photo.name, `${brief(name)}: ${error.message}`);
  }
  if (photo === shown()) layOut();
}

/** A button with a small image; of all of them only that of the shown one is in Tab's way. */
function thumb(photo) {
  const image = element("img", { src: photo.url, alt: "" });
  const go = () => show(state.photos.indexOf(photo));
  const named = { type: "button", title: photo.name, ariaLabel: photo.name, onclick: go };
  return element("li", {}, element("button", named, image));
}

/** Go to a photograph. */
function show(at) {
  const same = state.at === at;
  state.at = at;
  [...byId("thumbs").children].forEach(({ firstElementChild: button }, k) => {
    button.ariaCurrent = k === at ? "true" : null;
    button.tabIndex = k === at ? 0 : -1;
  });
  byId("shown").hidden = false;
  if (!same) layOut();
  work();
}

/** Other models: what stands left and right begins anew. */
function choose() {
  const names = chosen();
  const about = state.models.filter((model) => names.includes(model.name) && model.about);
  byId("about").replaceChildren(
    ...about.map((model) => element("li", { textContent: `${brief(model.name)}: ${model.about}` })),
  );
  fill(byId("left"), names, names.length > 1 ? names[0] : PHOTOGRAPH, "photograph");
  fill(byId("right"), names, names.at(-1), "photograph");
  layOut();
  work();
}

const camera = { stream: null };

async function openCamera() {
  try {
    const video = { facingMode: "environment", width: { ideal: 1920 } };
    camera.stream = await navigator.mediaDevices.getUserMedia({ video });
    byId("viewfinder").hidden = false;
    byId("video").srcObject = camera.stream;
    await byId("video").play();
    byId("shutter").disabled = false; // before there is a frame there is nothing to take
    byId("shutter").focus();
  } catch (error) {
    closeCamera();
    complain("camera", error.message);
  }
}

function closeCamera() {
  camera.stream?.getTracks().forEach((track) => track.stop());
  byId("viewfinder").hidden = true;
  byId("shutter").disabled = true;
}

function take() {
  const { videoWidth: width, videoHeight: height } = byId("video");
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").drawImage(byId("video"), 0, 0);
  const name = `camera ${++state.shots}.jpg`;
  canvas.toBlob((blob) => add([new File([blob], name)]), "image/jpeg", 0.95);
  closeCamera();
}

async function start() {
  try {
    const answer = await (await ask("models")).json();
    state.models = answer.models;
    state.mostBytes = answer.most_bytes;
    const names = state.models.map(({ name }) => name);
    fill(byId("first"), names, answer.chosen[0]);
    fill(byId("second"), names, answer.chosen[1] ?? "", "no other");
    byId("second-label").hidden = names.length < 2;
    choose();
  } catch (error) {
    complain("models", error.message);
  }
}

byId("files").addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = ""; // the same file may be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragged", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
for (const id of ["first", "second"]) byId(id).addEventListener("input", choose);
for (const id of ["opacity", "left", "right"]) byId(id).addEventListener("input", draw);
byId("divider").addEventListener("input", drawBoth);
for (const input of document.querySelectorAll("input[name=view]"))
  input.addEventListener("change", layOut);
byId("thumbs").addEventListener("keydown", (event) => {
  const to = state.at + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? NaN);
  if (!state.photos[to]?.picture) return;
  event.preventDefault();
  show(to);
  byId("thumbs").children[to].firstElementChild.focus();
});
byId("camera").addEventListener("click", openCamera);
byId("shutter").addEventListener("click", take);
byId("close").addEventListener("click", closeCamera);
if (!navigator.mediaDevices) {
  byId("camera").disabled = true;
  byId("camera").title = "A browser lends the camera to localhost and to HTTPS only";
}
if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname))
  byId("privacy").textContent = `Photographs go to ${location.host} and nowhere else.`;
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark =
    getComputedStyle(root).colorScheme === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
});
start();
