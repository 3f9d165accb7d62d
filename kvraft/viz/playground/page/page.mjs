// The page: starts Python in a worker, and joins it to the module that shows the sandbox.

import { attach } from "./sandbox.js";

const byId = (id) => document.getElementById(id);
const buttons = [byId("link"), byId("save"), byId("choose"), byId("afresh")];
const say = (text) => (byId("status").textContent = text);

// A worker that is made of a blob inherits this page's policy: no request leaves the server.
const source = `import ${JSON.stringify(new URL("python.mjs", import.meta.url).href)};`;
const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
const worker = new Worker(url, { type: "module" });

let seat = null; // joins the sandbox's HTML to Python

const answers = {
  progress(status) {
    byId("progress").value += 1;
    say(status);
  },
  // A sitting begins: its HTML, in which the slots are still empty.
  frame(html) {
    seat?.stop();
    byId("starting").hidden = true;
    const stage = document.createElement("div"); // a new one, to which nothing listens yet
    stage.innerHTML = html;
    byId("stage").replaceChildren(stage);
    seat = attach(stage, (act) => {
      if (act.act !== "hello") say("");
      worker.postMessage({ act });
    });
    seat.hello();
    for (const button of buttons) button.disabled = false;
  },
  answer(answer) {
    seat.apply(answer);
  },
  async link(link) {
    history.replaceState(null, "", link);
    const copied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    say(`The link is in the address bar${copied ? ", and copied" : ""}.`);
  },
  file(text) {
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
    file.download = "run.jsonl";
    file.click();
    URL.revokeObjectURL(file.href);
    say("The run is saved as run.jsonl: “Open a run” opens it here, Run.load in Python.");
  },
  says: say,
  failed(why) {
    byId("starting").hidden = true;
    say(why);
  },
};

worker.onmessage = ({ data }) => {
  for (const [kind, content] of Object.entries(data)) answers[kind](content);
};
worker.onerror = ({ message }) =>
  answers.failed(`Python did not start: ${message ?? "this browser cannot load its worker"}`);

const open = () => worker.postMessage({ open: location.hash });
addEventListener("hashchange", open);
byId("link").onclick = () => worker.postMessage({ link: true });
byId("save").onclick = () => worker.postMessage({ file: true });
byId("choose").onclick = () => byId("chosen").click();
byId("chosen").onchange = async ({ target }) => {
  const [file] = target.files;
  if (file) worker.postMessage({ text: await file.text() });
  target.value = ""; // the same file can be chosen again
};
byId("afresh").onclick = () => {
  history.replaceState(null, "", location.pathname);
  open();
};
open();
