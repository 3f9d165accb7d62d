// What a widget's module knows as its model, for a page: anywidget's interface over messages.
// Python renders; a module reads fields with get, hears of changes, and sends what was clicked.

export class Model {
  #fields;
  #listeners = new Map();
  #unsaved = {};
  #post;

  // fields: all of them, by name; post: takes {custom} or {saved}, for Python
  constructor(fields, post) {
    this.#fields = { ...fields };
    this.#post = post;
  }

  get(name) {
    return this.#fields[name];
  }

  set(name, value) {
    this.#unsaved[name] = value;
    this.take({ [name]: value });
  }

  save_changes() {
    const saved = this.#unsaved;
    this.#unsaved = {};
    if (Object.keys(saved).length) this.#post({ saved });
  }

  send(custom) {
    this.#post({ custom });
  }

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    const kept = (this.#listeners.get(event) ?? []).filter((one) => listener && one !== listener);
    this.#listeners.set(event, kept);
  }

  // Take what Python changed: first all of it, then the news, so that nobody sees half of it.
  take(changes) {
    const changed = Object.keys(changes).filter((name) => this.#fields[name] !== changes[name]);
    Object.assign(this.#fields, changes);
    for (const name of changed) this.#tell(`change:${name}`, changes[name]);
    if (changed.length) this.#tell("change");
  }

  #tell(event, value) {
    for (const listener of this.#listeners.get(event) ?? []) listener(this, value);
  }
}
