// As much of Node's test modules as the tests use, so that its types are no dependency.
declare module "node:test" {
  export function test(name: string, body: () => void | Promise<void>): void;
}
declare module "node:assert/strict" {
  interface Assert {
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    ok(value: unknown, message?: string): void;
    match(value: string, pattern: RegExp): void;
    throws(body: () => void, pattern?: RegExp): void;
  }
  const assert: Assert;
  export default assert;
}
