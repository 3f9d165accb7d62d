// Shows what Python rendered, and sends what was clicked: {act, seq}.

function render({ model, el }) {
  let seq = 0;
  const draw = () => {
    const focused = el.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    el.innerHTML = model.get("html");
    el.querySelector(`[data-act="${CSS.escape(focused ?? "")}"]`)?.focus();
  };
  const click = ({ target }) => {
    const act = target.closest("[data-act]")?.dataset.act;
    if (act) model.send({ act, seq: ++seq });
  };
  model.on("change:html", draw);
  el.addEventListener("click", click);
  draw();
  return () => {
    model.off("change:html", draw);
    el.removeEventListener("click", click);
  };
}

export default { render };
