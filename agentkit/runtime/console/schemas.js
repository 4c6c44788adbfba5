/** JSON Schemas as far as a form needs them: which field a value is filled in with, and what a text stands for. */

import { Exact, isObject, parse, same, write } from "./json.js";

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const SHORT_CHARS = 80;

/**
 * A field: `kind` is text, long, number, integer, boolean, day, choice, choices or json.
 * @typedef {{kind: string, title: string, about: string, options: {label: string, value: any}[],
 *   itemOptions: {label: string, value: any}[], isNullable: boolean, preset: any}} FieldPlan
 */

/**
 * How a value of this schema is filled in, given what is there now.
 * @param {Object} schema
 * @param {any} value undefined: nothing yet
 * @param {Object} [root] where `$ref` leads
 * @returns {FieldPlan}
 */
export function plan(schema, value, root = schema) {
  const { schema: own, isNullable } = plain(resolved(schema, root), root);
  const options = choices(own);
  const told = {
    title: String(own.title ?? ""),
    about: String(own.description ?? schema?.description ?? ""),
    options,
    isNullable,
    preset: own.default,
  };
  told.itemOptions = own.type === "array" ? choices(resolved(own.items ?? {}, root)) : [];
  return { ...told, kind: fits(kind(own, options, value, root), value, told.itemOptions) };
}

/** The members of an object's schema: their schemas, and which must be there. */
export function members(schema) {
  const own = resolved(schema ?? {}, schema ?? {});
  return {
    properties: isObject(own.properties) ? own.properties : {},
    required: Array.isArray(own.required) ? own.required : [],
  };
}

/** Whether values of the schema are objects. */
export function isOfObjects(schema) {
  const own = resolved(schema ?? {}, schema ?? {});
  return own.type === "object" || isObject(own.properties);
}

/** A value as the field shows it. */
export function written(value, kind) {
  if (value === undefined) return "";
  return kind === "json" ? write(value, 2) : typeof value === "string" ? value : write(value);
}

/**
 * What the text in a field stands for. Raises Error with a sentence.
 * @param {string} text
 * @param {string} kind
 */
export function read(text, kind) {
  if (kind === "number" || kind === "integer") return number(text.trim(), kind);
  if (kind !== "json") return text;
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`This is not valid JSON: ${error.message}`);
  }
}

function number(text, kind) {
  if (!NUMBER.test(text))
    throw new Error(text === "" ? "A number is missing here." : "This is not a number, such as 12 or -0.5.");
  const found = parse(text);
  if (kind === "integer" && !(found instanceof Exact) && !Number.isInteger(found))
    throw new Error("A whole number is wanted here.");
  return found;
}

function resolved(schema, root, depth = 0) {
  if (!isObject(schema)) return {};
  if (typeof schema.$ref !== "string" || depth > 8) return schema;
  const steps = schema.$ref.startsWith("#/") ? schema.$ref.slice(2).split("/") : [];
  const found = steps.reduce((at, step) => at?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  return resolved(found, root, depth + 1);
}

/** The schema without its "or null". */
function plain(schema, root) {
  for (const word of ["anyOf", "oneOf"]) {
    const branches = Array.isArray(schema[word]) ? schema[word].map((each) => resolved(each, root)) : [];
    const others = branches.filter((each) => each.type !== "null");
    if (others.length === 1 && others.length < branches.length)
      return { schema: { ...schema, ...others[0], [word]: undefined }, isNullable: true };
  }
  if (!Array.isArray(schema.type)) return { schema, isNullable: schema.type === "null" };
  const types = schema.type.filter((each) => each !== "null");
  return {
    schema: { ...schema, type: types.length === 1 ? types[0] : undefined },
    isNullable: types.length < schema.type.length,
  };
}

function choices(schema) {
  if (Array.isArray(schema.enum)) {
    return schema.enum.map((value, place) => ({
      value,
      label: String(schema.enumNames?.[place] ?? written(value, "")),
    }));
  }
  const branches = schema.oneOf ?? schema.anyOf;
  if (!Array.isArray(branches) || branches.length === 0 || !branches.every((each) => isObject(each) && "const" in each))
    return [];
  return branches.map((each) => ({ value: each.const, label: String(each.title ?? written(each.const, "")) }));
}

function kind(schema, options, value, root) {
  if (options.length) return "choice";
  const type = schema.type ?? typeOf(value);
  if (type === "array") return choices(resolved(schema.items ?? {}, root)).length ? "choices" : "json";
  if (type !== "string") return type === "number" || type === "integer" || type === "boolean" ? type : "json";
  if (schema.format === "date") return "day";
  const text = typeof value === "string" ? value : String(schema.default ?? "");
  return schema.maxLength <= SHORT_CHARS || (text.length <= SHORT_CHARS && !text.includes("\n") && !isLongText(schema))
    ? "text"
    : "long";
}

function isLongText(schema) {
  return (
    schema.maxLength > 200 ||
    schema.minLength > SHORT_CHARS ||
    schema.contentMediaType !== undefined ||
    schema.format === "multi-line" ||
    schema.format === "textarea"
  );
}

/** The kind, or JSON where the field could not hold what is there: nothing may change by being looked at. */
function fits(kind, value, itemOptions = []) {
  if (value === undefined || kind === "json" || kind === "choice") return kind;
  const isNumber = typeof value === "number" || value instanceof Exact;
  const holds = {
    number: isNumber,
    integer: isNumber,
    boolean: typeof value === "boolean",
    choices: Array.isArray(value) && value.every((each) => itemOptions.some((item) => same(item.value, each))),
    day: typeof value === "string" && DAY.test(value),
    text: typeof value === "string" && !/[\r\n]/.test(value),
    long: typeof value === "string" && !value.includes("\r"),
  };
  if (holds[kind]) return kind;
  return typeof value === "string" && !value.includes("\r")
    ? /\n/.test(value) || value.length > SHORT_CHARS
      ? "long"
      : "text"
    : "json";
}

function typeOf(value) {
  if (value === undefined) return "string";
  if (value instanceof Exact) return "number";
  return Array.isArray(value) ? "array" : typeof value;
}
