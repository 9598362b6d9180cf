// SPDX-License-Identifier: AGPL-3.0-or-later
// Writes src/api/schema.ts from docs/openapi.json: one TypeScript type per schema of the API.
// With --check it only says whether the file is current.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const source = new URL("../../../../docs/openapi.json", import.meta.url);
const target = fileURLToPath(new URL("../src/api/schema.ts", import.meta.url));
const { components } = JSON.parse(await readFile(source, "utf8"));

const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));

function typeOf(schema, indent) {
  if (schema === undefined || schema === true) return "Json";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  for (const combined of [schema.oneOf, schema.anyOf]) {
    if (combined) return combined.map((each) => typeOf(each, indent)).join(" | ");
  }
  if (schema.allOf) return schema.allOf.map((each) => typeOf(each, indent)).join(" & ");
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => typeOf({ ...schema, type }, indent)).join(" | ");
  }
  switch (schema.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array": {
      const items = typeOf(schema.items, indent);
      return /[|&]/.test(items) ? `(${items})[]` : `${items}[]`;
    }
    case "object":
      return objectOf(schema, indent);
    default:
      return "Json";
  }
}

function objectOf(schema, indent) {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) {
    const values =
      typeof schema.additionalProperties === "object" ? typeOf(schema.additionalProperties, indent) : "Json";
    return `{ [key: string]: ${values} }`;
  }
  const inner = `${indent}  `;
  const required = new Set(schema.required);
  const lines = properties.map(
    ([name, each]) => `${inner}${key(name)}${required.has(name) ? "" : "?"}: ${typeOf(each, inner)};`,
  );
  return `{\n${lines.join("\n")}\n${indent}}`;
}

const out = [
  "// SPDX-License-Identifier: AGPL-3.0-or-later",
  "// Generated from docs/openapi.json by `npm run generate`. Do not edit.",
  "",
  "export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };",
];
for (const [name, schema] of Object.entries(components.schemas).sort(([a], [b]) => (a < b ? -1 : 1))) {
  const type = typeOf(schema, "");
  out.push(
    "",
    type.startsWith("{\n") ? `export interface ${name} ${type}` : `export type ${name} = ${type};`,
  );
}
const text = `${out.join("\n")}\n`;

if (process.argv.includes("--check")) {
  const present = await readFile(target, "utf8").catch(() => "");
  if (present !== text) {
    console.error("src/api/schema.ts is not what docs/openapi.json says: run `npm run generate`");
    process.exit(1);
  }
} else {
  await writeFile(target, text);
}
