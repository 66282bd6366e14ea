// Reads JSON that others wrote (a node, a file, another `mkv`) and refuses what is not as expected,
// with the name of the field. Unknown fields are left alone: newer programs may write more.

export type JsonObject = Readonly<Record<string, unknown>>;

export function parseObject(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error('it is not a JSON object');
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function stringIn(object: JsonObject, name: string): string {
  const value = object[name];
  if (typeof value === 'string') return value;
  throw new Error(`"${name}" is no text`);
}

export function numberIn(object: JsonObject, name: string): number {
  const value = object[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`"${name}" is no whole number`);
}

export function booleanIn(object: JsonObject, name: string): boolean {
  const value = object[name];
  if (typeof value === 'boolean') return value;
  throw new Error(`"${name}" is neither true nor false`);
}

export function objectIn(object: JsonObject, name: string): JsonObject {
  const value = object[name];
  if (isObject(value)) return value;
  throw new Error(`"${name}" is no object`);
}

export function objectsIn(object: JsonObject, name: string): readonly JsonObject[] {
  const value: unknown = object[name];
  if (!Array.isArray(value)) throw new Error(`"${name}" is no list`);
  return value.map((item: unknown) => {
    if (!isObject(item)) throw new Error(`"${name}" holds something that is no object`);
    return item;
  });
}
