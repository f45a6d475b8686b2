// A form that is drawn from a JSON Schema, and read back as JSON. It knows no effect by name.

/** What a reference leads to; an optional type is the type itself. */
export function resolved(root, schema) {
  if (schema.$ref) return resolved(root, root.$defs[schema.$ref.split("/").pop()]);
  const types = schema.anyOf?.filter((option) => option.type !== "null");
  return types?.length === 1 ? resolved(root, types[0]) : schema;
}

/** The names that may stand there, if they are known: each with what it means. */
function choices(schema) {
  const named = (option) => [option.const, option.description ?? ""];
  return schema.oneOf?.every((option) => option.const) ? schema.oneOf.map(named)
    : schema.enum?.map((name) => [name, ""]);
}

const has = (schema, type) => [schema.type].flat().includes(type);

function control(schema, field) {
  const names = choices(schema);
  if (names) {
    const select = document.createElement("select");
    const isFree = field.default === undefined;
    if (isFree) select.add(new Option("", ""));
    for (const [name, means] of names) {
      const option = new Option(name, name);
      option.title = means;
      select.add(option);
    }
    select.value = isFree ? "" : field.default;
    return select;
  }
  const input = document.createElement(
    has(schema, "object") || has(schema, "array") || !schema.type ? "textarea" : "input");
  if (has(schema, "boolean")) {
    input.type = "checkbox";
  } else if (input.tagName === "TEXTAREA") {
    input.rows = 2;
    input.placeholder = has(schema, "array") ? '["/result/x"]' : '{"name": "value"}';
  } else {
    input.placeholder = String(field.default ?? schema.examples?.[0] ?? field.examples?.[0] ?? "");
  }
  return input;
}

/** Draws the fields of an object's schema. */
export function draw(root, schema, place) {
  const required = schema.required ?? [];
  const entries = Object.entries(schema.properties ?? {});
  entries.sort(([a], [b]) => required.includes(b) - required.includes(a));
  place.replaceChildren(...entries.map(([name, field]) => {
    const own = { ...resolved(root, field), ...field.examples && { examples: field.examples } };
    const label = document.createElement("label");
    label.className = "field";
    const input = control(own, field);
    input.name = name;
    input.required = required.includes(name) && input.type !== "checkbox";
    input.dataset.kind = has(own, "boolean") ? "boolean"
      : has(own, "integer") && !has(own, "string") || has(own, "number") ? "number"
        : input.tagName === "TEXTAREA" ? "json" : "text";
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.textContent = field.description ?? own.description ?? "";
    label.append(name + (input.required ? " *" : ""), input, hint);
    return label;
  }));
}

/** Fills in what `read` would give; the rest is emptied. */
export function fill(place, values) {
  for (const input of place.querySelectorAll("[name]")) {
    const { [input.name]: known } = values ?? {};
    if (input.dataset.kind === "boolean") {
      input.checked = known === true;
    } else if (known === undefined || known === null) {
      input.value = "";
    } else {
      input.value = typeof known === "object" ? JSON.stringify(known) : String(known);
    }
  }
}

/** What was filled in. What was left empty is left out. */
export function read(place) {
  const filled = {};
  for (const input of place.querySelectorAll("[name]")) {
    if (input.dataset.kind === "boolean") {
      if (input.checked) filled[input.name] = true;
    } else if (input.value.trim() !== "") {
      filled[input.name] = value(input);
    }
  }
  return filled;
}

function value({ name, value: text, dataset }) {
  if (dataset.kind === "number" && !Number.isNaN(Number(text))) return Number(text);
  if (dataset.kind !== "json") return text.trim();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${name}: JSON was expected, such as {"name": "value"} or "text"`);
  }
}
