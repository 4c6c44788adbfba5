/** Forms made from a JSON Schema: to edit the arguments of a call, and to answer a question. */

import { readable } from "./arguments.js";
import { hides } from "./characters.js";
import { fill, fresh, h, say } from "./dom.js";
import { same } from "./json.js";
import { isOfObjects, members, plan, read, written } from "./schemas.js";

const KINDS = { number: "number", integer: "whole number", json: "JSON" };
const ONLY = "answer"; // the one field of a schema that is no object's

/** A form over one value. `onInput` is called whenever somebody typed. */
export class Form {
  /**
   * @param {Object|null} schema
   * @param {any} value what is there already; undefined: nothing
   * @param {{onInput?: () => void, draft?: Object, testid?: string}} [options] `draft`: what `texts()` told before
   */
  constructor(schema, value, { onInput = () => {}, draft = {}, testid = "args-" } = {}) {
    this.isObject =
      isOfObjects(schema) ||
      (schema === null && typeof value === "object") ||
      (typeof value === "object" && value !== null && !Array.isArray(value));
    this.isAnswer = value === undefined; // then what is left blank is left out
    const given = this.isObject ? (value ?? {}) : value === undefined ? {} : { [ONLY]: value };
    const { properties, required } = this.isObject
      ? members(schema)
      : { properties: { [ONLY]: schema ?? {} }, required: [ONLY] };
    const names = [...new Set([...Object.keys(given), ...Object.keys(properties)])];
    this.fields = names.map((name) => {
      const own = Object.hasOwn(properties, name) ? properties[name] : {};
      const had = Object.hasOwn(given, name) ? given[name] : undefined;
      return new Field(name, own, had, {
        isRequired: required.includes(name),
        root: schema ?? {},
        onInput,
        draft: Object.hasOwn(draft, name) ? draft[name] : null,
        testid,
        isOnly: !this.isObject,
        isAnswer: this.isAnswer,
      });
    });
    this.element = h("div", { class: "form" }, ...this.fields.map((each) => each.element));
  }

  /** @returns {{value: any, isValid: boolean}} problems are shown at their fields */
  read() {
    const found = this.fields.map((each) => each.read());
    const isValid = found.every((each) => each.isValid);
    const there = this.fields.flatMap((each, place) =>
      found[place].isPresent ? [[each.name, found[place].value]] : [],
    );
    return { value: this.isObject ? Object.fromEntries(there) : there[0]?.[1], isValid };
  }

  /** What is typed, by field, where it is not what was there. */
  texts() {
    const entries = this.fields.filter((each) => each.isTouched()).map((each) => [each.name, each.draft()]);
    return entries.length ? Object.fromEntries(entries) : undefined;
  }

  /**
   * Shows what the server found wrong; those that belong to no field are returned.
   * @param {{path?: string, message: string}[]} problems
   */
  refuse(problems) {
    return problems.filter(({ path = "", message }) => {
      const place = String(path).replace(/^[$#./]+/, "");
      const field = this.fields.find(
        (each) => place === each.name || (place.startsWith(each.name) && /^[./[]/.test(place.slice(each.name.length))),
      );
      field?.complain(place === field.name ? message : `${place.slice(field.name.length)}: ${message}`);
      return !field;
    });
  }

  /** Puts the caret into the first field. */
  focus() {
    this.element.querySelector("input, textarea, select")?.focus();
  }
}

/** One field: present or not, with what was typed. */
class Field {
  constructor(name, schema, original, { isRequired, root, onInput, draft, testid, isOnly, isAnswer }) {
    this.name = name;
    this.original = original;
    this.plan = plan(schema, original, root);
    this.isRequired = isRequired;
    this.isAnswer = isAnswer;
    this.wasPresent = original !== undefined || isRequired || isAnswer || this.plan.preset !== undefined;
    this.isPresent = this.wasPresent;
    const start = original !== undefined ? original : this.plan.preset;
    this.control = control(this.plan, start, { name, testid: `${testid}${name}`, isRequired, isOnly });
    this.first = this.control.text();
    if (draft) ((this.isPresent = draft.on), this.control.put(draft.text));
    this.problem = h("p", { class: "problem", role: "alert" });
    this.toggle =
      isRequired || isAnswer
        ? null
        : h("button", { type: "button", class: "quiet", on: { click: () => (this.set(!this.isPresent), onInput()) } });
    this.seen = h("p", { class: "seen" });
    this.body = h("div", { class: "field-body" }, this.control.element, this.seen, this.problem);
    const label = isOnly
      ? this.plan.title || "Your answer"
      : this.plan.title && this.plan.title.toLowerCase() !== name.toLowerCase().replaceAll("_", " ")
        ? `${name}: ${this.plan.title}`
        : name;
    const about = this.plan.about
      ? h("p", { class: "about", id: fresh("about") }, ...readable(this.plan.about, { lenient: true }))
      : null;
    if (about) this.control.describe(about.id);
    const head = h(
      "div",
      { class: "field-head" },
      h("label", { for: this.control.id }, ...readable(label)),
      h("span", { class: "muted", text: [KINDS[this.plan.kind], isRequired && "required"].filter(Boolean).join(", ") }),
      this.toggle,
    );
    this.element = h("div", { class: "field" }, head, about, this.body);
    const typed = () => (this.complain(""), this.uncover(), onInput());
    for (const event of ["input", "change"]) this.control.element.addEventListener(event, typed);
    this.set(this.isPresent);
    this.uncover();
  }

  set(isPresent) {
    this.isPresent = isPresent;
    this.body.hidden = !isPresent;
    if (this.toggle) say(this.toggle, isPresent ? "Leave out" : "Fill in");
    this.toggle?.setAttribute("aria-label", `${isPresent ? "Leave out" : "Fill in"} ${this.name}`);
  }

  /** Shows what a text field would hide: characters that are not seen, or turn others around. */
  uncover() {
    const text = this.control.text();
    if (this.plan.options.length || !hides(text)) return fill(this.seen);
    return fill(this.seen, "It really says: ", ...readable(text.length > 500 ? `${text.slice(0, 500)}\u2026` : text));
  }

  read() {
    if (!this.isPresent) return { isPresent: false, isValid: true };
    if (this.control.text() === this.first && this.original !== undefined)
      return { isPresent: true, isValid: true, value: this.original };
    if (this.isAnswer && !this.isRequired && this.control.text() === "") return { isPresent: false, isValid: true };
    try {
      const value = this.control.read();
      this.complain("");
      return value === undefined
        ? this.missing()
        : { isPresent: true, isValid: true, value: same(value, this.original) ? this.original : value };
    } catch (error) {
      this.complain(error.message);
      return { isPresent: true, isValid: false };
    }
  }

  missing() {
    if (this.isRequired) this.complain("Please choose; this is required.");
    return { isPresent: false, isValid: !this.isRequired };
  }

  isTouched() {
    return this.control.text() !== this.first || this.isPresent !== this.wasPresent;
  }

  draft() {
    return { on: this.isPresent, text: this.control.text() };
  }

  complain(message) {
    say(this.problem, message);
    this.control.mark(message !== "");
  }
}

// -- controls -------------------------------------------------------------------------------------------------------

function control(plan, start, options) {
  if (plan.kind === "choice") return choice(plan, start, options);
  if (plan.kind === "choices") return several(plan, start, options);
  if (plan.kind === "boolean")
    return choice(
      { ...plan, options: [true, false].map((value) => ({ value, label: value ? "Yes (true)" : "No (false)" })) },
      start,
      options,
    );
  return typed(plan, start, options);
}

function typed(plan, start, { name, testid }) {
  const id = fresh("field");
  const props = {
    id,
    name,
    "data-testid": testid,
    autocomplete: "off",
    spellcheck: plan.kind === "long" ? null : "false",
  };
  const isLine = plan.kind === "text" || plan.kind === "number" || plan.kind === "integer" || plan.kind === "day";
  const element = isLine
    ? h("input", {
        ...props,
        type: plan.kind === "day" ? "date" : "text",
        inputmode: plan.kind === "number" || plan.kind === "integer" ? "decimal" : null,
      })
    : h("textarea", { ...props, rows: plan.kind === "json" ? 4 : 5, class: plan.kind === "json" ? "code" : null });
  element.value = written(start, plan.kind);
  return {
    ...common(element, id),
    text: () => element.value,
    put: (text) => (element.value = text),
    read: () =>
      plan.isNullable && element.value === "" && plan.kind !== "text" && plan.kind !== "long"
        ? null
        : read(element.value, plan.kind),
  };
}

/** One of several values, by number: they need not be texts. */
function choice(plan, start, { name, testid, isRequired, isOnly }) {
  const options = [...plan.options];
  if (plan.isNullable && !options.some((each) => each.value === null))
    options.push({ value: null, label: "(nothing)" });
  if (start !== undefined && !options.some((each) => same(each.value, start)))
    options.unshift({ value: start, label: `${written(start, "")} (not among the choices)` });
  const chosen = start === undefined ? "" : String(options.findIndex((each) => same(each.value, start)));
  const make = options.length <= 6 && start === undefined && (isOnly || isRequired) ? radios : select;
  const { element, id, text, put } = make(options, chosen, { name, testid });
  return { ...common(element, id), text, put, read: () => (text() === "" ? undefined : options[Number(text())].value) };
}

function select(options, chosen, { name, testid }) {
  const id = fresh("field");
  const element = h(
    "select",
    { id, name, "data-testid": testid },
    chosen === "" && h("option", { value: "", text: "Choose\u2026" }),
    ...options.map((each, place) => h("option", { value: String(place), text: each.label })),
  );
  element.value = chosen;
  return { element, id, text: () => element.value, put: (text) => (element.value = text) };
}

function radios(options, chosen, { testid }) {
  const id = fresh("field");
  const inputs = options.map((_, place) =>
    h("input", {
      type: "radio",
      name: id,
      id: place ? null : id,
      value: String(place),
      "data-testid": `${testid}-${place}`,
    }),
  );
  const element = h(
    "div",
    { class: "choices", role: "radiogroup" },
    ...inputs.map((each, place) => h("label", {}, each, h("span", {}, ...readable(options[place].label)))),
  );
  const put = (text) => inputs.forEach((each) => (each.checked = each.value === text));
  put(chosen);
  return { element, id, text: () => inputs.find((each) => each.checked)?.value ?? "", put };
}

/** Any number of several values. */
function several(plan, start, { testid }) {
  const items = plan.itemOptions ?? [];
  const id = fresh("field");
  const inputs = items.map((_, place) =>
    h("input", { type: "checkbox", id: place ? null : id, value: String(place), "data-testid": `${testid}-${place}` }),
  );
  const element = h(
    "div",
    { class: "choices", role: "group" },
    ...inputs.map((each, place) => h("label", {}, each, h("span", {}, ...readable(items[place].label)))),
  );
  const text = () =>
    inputs
      .filter((each) => each.checked)
      .map((each) => each.value)
      .join(",");
  const put = (given) => inputs.forEach((each) => (each.checked = given.split(",").includes(each.value)));
  put((start ?? []).map((each) => items.findIndex((item) => same(item.value, each))).join(","));
  return {
    ...common(element, id),
    text,
    put,
    read: () => inputs.flatMap((each, place) => (each.checked ? [items[place].value] : [])),
  };
}

function common(element, id) {
  return {
    element,
    id,
    mark: (isWrong) =>
      isWrong ? element.setAttribute("aria-invalid", "true") : element.removeAttribute("aria-invalid"),
    describe: (about) => element.setAttribute("aria-describedby", about),
  };
}
