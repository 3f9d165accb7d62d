// The worker in which Python runs, so that a click that takes long freezes nothing.
// It asks kvraft.viz.playground.host, in JSON, and posts what that answers.

import { loadPyodide } from "./pyodide/pyodide.mjs";

const progress = (status) => self.postMessage({ progress: status });

async function start() {
  progress("Python is being fetched.");
  const archive = fetch(new URL("kvraft.zip", import.meta.url));
  const python = await loadPyodide({ indexURL: new URL("pyodide/", import.meta.url).href });
  progress("kvraft is being fetched.");
  const answer = await archive;
  if (!answer.ok) throw new Error(`kvraft.zip: ${answer.status} ${answer.statusText}`);
  python.unpackArchive(await answer.arrayBuffer(), "zip", { extractDir: "/kvraft" });
  python.runPython("import sys; sys.path.insert(0, '/kvraft')");
  progress("kvraft is being loaded.");
  return python.pyimport("kvraft.viz.playground.host").Host();
}

const host = start();

self.onmessage = async ({ data }) => {
  try {
    const { answer } = await host; // messages are answered one by one, in order
    self.postMessage(JSON.parse(answer(JSON.stringify(data))));
  } catch (error) {
    self.postMessage({ failed: `Python stopped: ${error.message} Load this page again.` });
  }
};
