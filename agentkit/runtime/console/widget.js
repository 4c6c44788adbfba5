/** Widgets: a small surface of a tool call, drawn from its tree, and what a person did with it. */

import { areArguments, readable, rows, value } from "./arguments.js";
import { fresh, h, outside } from "./dom.js";

const DEEPEST = 16;
const PROSE = { lenient: true };

/**
 * A widget that can be answered.
 * @param {Object} widget
 * @param {(answer: {action: Object, form_data: Object}) => void} onAnswer
 * @param {{draft?: Object, onInput?: () => void}} [options]
 */
export function drawn(widget, onAnswer, { draft = {}, onInput = () => {} } = {}) {
  const fields = new Map();
  const element = h("form", { class: "widget", novalidate: true });
  const answer = (action, scope) => onAnswer({ action, form_data: data(fields, scope) });
  const brush = { fields, answer, draft, scope: null };
  if (widget.title) element.append(h("h4", {}, ...readable(String(widget.title), PROSE)));
  if (widget.type === "html")
    element.append(
      h("p", { class: "muted", text: "A page in HTML; it is shown as its text, and not run." }),
      value(String(widget.html ?? "")),
    );
  element.append(...children(widget, brush, 0));
  const buttons = (widget.actions ?? []).map((each) =>
    button(each.label, () => answer(each.action, null), each.variant),
  );
  if (buttons.length) element.append(h("div", { class: "actions" }, ...buttons));
  element.addEventListener("submit", (event) => event.preventDefault());
  element.addEventListener("input", onInput);
  element.addEventListener("change", onInput);
  return { element, texts: () => texts(fields) };
}

function children(node, brush, depth) {
  if (depth > DEEPEST || !Array.isArray(node.children)) return [];
  return node.children.map((each) => draw(each, brush, depth)).filter(Boolean);
}

const TEXTS = {
  title: "h4",
  caption: "small",
  label: "strong",
  badge: "span",
  "status-badge": "span",
  text: "p",
  markdown: "p",
};

function draw(node, brush, depth) {
  if (!areArguments(node)) return null;
  const { type } = node;
  if (Object.hasOwn(TEXTS, type))
    return h(
      TEXTS[type],
      { class: type.includes("badge") ? "badge" : "prose" },
      ...readable(String(node.value ?? node.label ?? ""), PROSE),
    );
  if (type === "divider") return h("hr");
  if (type === "spacer" || type === "icon" || type === "transition") return null;
  if (type === "image")
    return node.src ? h("p", {}, "Image: ", outside(String(node.src), String(node.alt || node.src))) : null;
  if (type === "button") return pressed(node, brush);
  if (type === "form")
    return h(
      "fieldset",
      { class: "widget-form" },
      ...children(node, { ...brush, scope: node, submit: node.onSubmitAction }, depth + 1),
      handIn(node, brush),
    );
  if (type === "row" || type === "col" || type === "box")
    return h("div", { class: `widget-${type}` }, ...children(node, brush, depth + 1));
  if (Object.hasOwn(INPUTS, type)) return field(node, brush);
  const { type: _, children: below, ...rest } = node;
  return h("div", {}, Object.keys(rest).length ? rows(rest) : null, ...children(node, brush, depth + 1));
}

function pressed(node, brush) {
  const own = node.action ?? node.onClickAction;
  const action = own ?? (node.submit ? (brush.submit ?? { type: "submit" }) : null);
  return (
    action &&
    button(
      node.label ?? node.value ?? action.type,
      () => brush.answer(action, node.submit || own ? brush.scope : null),
      node.variant,
    )
  );
}

/** The button of a form that has none to hand it in with. */
function handIn(node, brush) {
  const has = (each) => each?.type === "button" || (each?.children ?? []).some(has);
  return node.onSubmitAction && !has(node)
    ? button("Send", () => brush.answer(node.onSubmitAction, node), "primary")
    : null;
}

function button(label, act, variant) {
  return h(
    "button",
    {
      type: "button",
      class: variant === "primary" ? "primary" : null,
      "data-testid": "widget-action",
      on: { click: act },
    },
    ...readable(String(label ?? "Send"), PROSE),
  );
}

const INPUTS = {
  input: (node, id) => h("input", { id, type: "text", placeholder: node.placeholder, autocomplete: "off" }),
  textarea: (node, id) => h("textarea", { id, rows: node.rows ?? 4, placeholder: node.placeholder }),
  "date-picker": (node, id) => h("input", { id, type: "date" }),
  select: (node, id) =>
    h(
      "select",
      { id },
      h("option", { value: "", text: "Choose\u2026" }),
      ...(node.options ?? []).map((each) => h("option", { value: each.value, text: each.label || each.value })),
    ),
  checkbox: (node, id) => h("input", { id, type: "checkbox" }),
  "radio-group": () => null,
};

function field(node, brush) {
  const name = String(node.name || node.fieldName || "");
  const label = String(node.label || name);
  const id = fresh("widget");
  const entry = node.type === "radio-group" ? radios(node, id) : plain(node, INPUTS[node.type](node, id));
  entry.element.dataset.testid = `args-${name}`;
  entry.put(
    (Object.hasOwn(brush.draft, name) ? brush.draft[name] : null) ??
      node.defaultValue ??
      node.value ??
      (node.type === "checkbox" ? (node.defaultChecked ?? false) : ""),
  );
  brush.fields.set(name, { ...entry, scope: brush.scope });
  const told = [...readable(label, PROSE), node.required ? h("span", { class: "muted", text: " required" }) : null];
  if (node.type === "checkbox") return h("label", { class: "check" }, entry.element, h("span", {}, ...told));
  return h("div", { class: "field" }, h("label", { for: id }, ...told), entry.element);
}

function plain(node, element) {
  const isCheck = node.type === "checkbox";
  return {
    element,
    get: () => (isCheck ? element.checked : element.value),
    put: (given) => (isCheck ? (element.checked = Boolean(given)) : (element.value = String(given ?? ""))),
  };
}

function radios(node, id) {
  const inputs = (node.options ?? []).map((each, place) =>
    h("input", { type: "radio", name: id, id: place ? null : id, value: each.value }),
  );
  const labels = inputs.map((each, place) =>
    h(
      "label",
      {},
      each,
      h("span", {}, ...readable(String(node.options[place].label || node.options[place].value), PROSE)),
    ),
  );
  return {
    element: h("div", { class: "choices", role: "radiogroup" }, ...labels),
    get: () => inputs.find((each) => each.checked)?.value ?? "",
    put: (given) => inputs.forEach((each) => (each.checked = each.value === given)),
  };
}

/** The values of a form, or of every field where the button is in none; what is empty is left out. */
function data(fields, scope) {
  const there = [...fields]
    .filter(([, each]) => scope === null || each.scope === scope)
    .map(([name, each]) => [name, each.get()]);
  return Object.fromEntries(there.filter(([, given]) => given !== ""));
}

function texts(fields) {
  return Object.fromEntries([...fields].map(([name, each]) => [name, each.get()]));
}
