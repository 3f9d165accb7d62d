// The page: starts Python in a worker, and joins it to the module that shows the sandbox.

import { Model } from "./model.mjs";
import stage from "./stage.mjs";

const byId = (id) => document.getElementById(id);
const buttons = [byId("link"), byId("afresh")];
const say = (text) => (byId("status").textContent = text);

// A worker that is made of a blob inherits this page's policy: no request leaves the server.
const source = `import ${JSON.stringify(new URL("python.mjs", import.meta.url).href)};`;
const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
const worker = new Worker(url, { type: "module" });

let model = null;
let leave = null;

const answers = {
  progress(status) {
    byId("progress").value += 1;
    say(status);
  },
  // All fields of a run that begins or was opened.
  async fields(fields) {
    byId("starting").hidden = true;
    byId("stage").hidden = false;
    leave?.();
    byId("stage").replaceChildren();
    model = new Model(fields, (message) => worker.postMessage(message));
    leave = await stage.render({ model, el: byId("stage") });
    for (const button of buttons) button.disabled = false;
  },
  changes(changes) {
    model.take(changes);
  },
  async link(link) {
    history.replaceState(null, "", link);
    const copied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    say(`The link is in the address bar${copied ? ", and copied" : ""}.`);
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
byId("afresh").onclick = () => {
  history.replaceState(null, "", location.pathname);
  open();
};
open();
