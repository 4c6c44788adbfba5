/** Elements: made from names and texts alone, so nothing that is shown can become markup. */

/**
 * An element.
 * @param {string} tag
 * @param {Object} [props] attributes; `class`, `text`, `testid`, `data` (the dataset) and `on` (listeners) are what
 *   they say; null, undefined and false are left out, true is an attribute without a value
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "testid") element.dataset.testid = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Puts the children in, whatever they are; null and false are nothing. */
function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

/** Replaces what is in the element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets the text where it is another one: a screen reader is not told twice, a selection stays. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes these the children of `parent`, in this order, with the fewest moves. The focus stays where it is; where its
 * element is gone, the one that took its place has it.
 * @param {Element} parent
 * @param {Element[]} elements
 */
export function arrange(parent, elements) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? [...parent.children].findIndex((each) => each.contains(focused)) : -1;
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const each of elements) {
    if (each === at) at = at.nextElementSibling;
    else parent.insertBefore(each, at);
  }
  if (focused === null || document.activeElement === focused) return;
  const heir = parent.contains(focused) ? focused : parent.children[Math.min(place, parent.children.length - 1)];
  heir?.focus({ preventScroll: true });
}

/**
 * What does `act` soon, once for all that asked meanwhile: with the next frame, or, in the background, a bit later.
 * @param {() => void} act
 */
export function soon(act) {
  let frame = null;
  let timer = null;
  const once = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = null;
    act();
  };
  return () => {
    if (timer !== null) return;
    frame = requestAnimationFrame(once);
    timer = setTimeout(once, 250); // a page in the background has no frames
  };
}

/** A name that no other element has. */
export const fresh = (
  (count) => (stem) =>
    `${stem}-${++count}`
)(0);

/** A link within the console. */
export function link(href, text, props = {}) {
  return h("a", { href, ...props }, text);
}

/**
 * A link to the outside: only http and https, shown as what it is; anything else is its text.
 * @param {string} url
 */
export function outside(url, label = url) {
  let parsed = null;
  try {
    parsed = new URL(url);
  } catch {
    return h("span", { text: label });
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") return h("span", { text: label });
  const props = { href: parsed.href, rel: "noopener noreferrer nofollow", target: "_blank", title: parsed.href };
  return h("a", props, label === url ? parsed.href : `${label} (${parsed.host})`);
}
