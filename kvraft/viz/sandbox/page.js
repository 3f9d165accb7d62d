// A page that plays a recorded run: unpacks the pictures and moves through them by buttons, slider and keys.

const at = (id) => document.getElementById(id);
const bytes = Uint8Array.from(atob(at("film").textContent), (letter) => letter.charCodeAt(0));
const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
const film = await new Response(unpacked).json();
const last = film.frames.length - 1;
let here = -1, timer = 0;

const show = (frame) => {
  frame = Math.min(Math.max(frame, 0), last);
  const before = film.frames[here] ?? [];
  film.frames[frame].forEach((picture, number) => {
    if (before[number] !== picture) document.querySelector(`[data-slot="${film.names[number]}"]`).innerHTML = film.pictures[picture];
  });
  here = frame;
  at("title").textContent = film.titles[here];
  at("when").textContent = film.times[here];
  at("caption").textContent = film.captions[here];
  at("caption").hidden = !film.captions[here];
  at("place").textContent = `${here + 1} of ${last + 1}`;
  at("slider").value = here;
};
const pause = () => {
  clearInterval(timer);
  timer = 0;
  at("play").textContent = "▶▶";
  at("play").setAttribute("aria-label", "play");
};
const play = () => {
  if (timer) return pause();
  if (here === last) show(0);
  timer = setInterval(() => (here < last ? show(here + 1) : pause()), 250);
  at("play").textContent = "❚❚";
  at("play").setAttribute("aria-label", "pause");
};
const go = (frame) => { pause(); show(frame); };

at("slider").max = last;
at("slider").addEventListener("input", (event) => go(Number(event.target.value)));
at("first").onclick = () => go(0);
at("back").onclick = () => go(here - 1);
at("on").onclick = () => go(here + 1);
at("last").onclick = () => go(last);
at("play").onclick = play;
document.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last };
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in moves)) return;
  event.preventDefault();
  go(moves[event.key]);
});
show(0);
