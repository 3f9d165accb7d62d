// The sandbox in a page: turns clicks and keys on [data-act] into messages, and puts answers into slots.
// It knows nothing of what they mean.  Python draws everything.

export function attach(root, send) {
  let sent = 0, done = 0, held = null, timer = 0;

  const act = (what, values = []) => send({ act: what, seq: ++sent, values });
  const fields = (hot) => [...(hot.closest("form")?.querySelectorAll("input") ?? [])].map((field) => field.value);
  const hotAt = (event) => {
    const hot = event.target.closest?.("[data-act]");
    return hot && root.contains(hot) ? hot : null;
  };
  const press = (event) => {
    const hot = hotAt(event);
    if (!hot) return;
    event.preventDefault();
    event.stopPropagation();
    if (hot.getAttribute("aria-disabled") !== "true") act(hot.dataset.act, fields(hot));
  };
  const slide = () => {  // the next only once the last has been answered
    if (held === null || sent > done) return;
    const at = held;
    held = null;
    act("at", [at]);
  };

  root.addEventListener("click", press);
  root.addEventListener("submit", (event) => event.preventDefault());
  root.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT") {
      const hot = event.key === "Enter" && event.target.closest("form")?.querySelector("[data-act]");
      if (hot) { event.preventDefault(); hot.click(); }
    } else if ((event.key === "Enter" || event.key === " ") && event.target.tagName !== "BUTTON") press(event);
  });
  root.addEventListener("input", (event) => {
    if (event.target.type !== "range") return;
    held = event.target.value;
    slide();
  });

  const nameOf = (element) => {
    if (!element || !root.contains(element)) return null;
    const slot = element.closest("[data-slot]")?.dataset.slot;
    const key = element.dataset.key, what = element.dataset.act;
    return slot && (key || what) ? `[data-slot="${slot}"] ` + (key ? `[data-key="${CSS.escape(key)}"]` : `[data-act="${CSS.escape(what)}"]`) : null;
  };

  return {
    hello: () => act("hello"),
    apply(answer) {
      done = Math.max(done, answer.seq);
      const focused = nameOf(document.activeElement), touched = document.activeElement;
      for (const [name, html] of Object.entries(answer.slots)) {
        const slot = root.querySelector(`[data-slot="${name}"]`);
        if (slot) slot.innerHTML = html;
      }
      if (focused && !touched.isConnected) root.querySelector(focused)?.focus({ preventScroll: true });
      root.dataset.seq = answer.seq;
      clearTimeout(timer);
      if (answer.play) timer = setTimeout(() => act("tick"), answer.play);
      slide();
    },
    stop: () => clearTimeout(timer),
  };
}
