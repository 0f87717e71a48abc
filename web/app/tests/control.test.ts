import type { DataSchema } from "@plait/sdk";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { controlFor, initialOf, inputFor, parseInput } from "../src/model/control.ts";

const bounded = { minimum: 0, maximum: 100 } as const;
const options = [
  { value: "auto", label: "Auto" },
  { value: "max_power", label: "Max power" },
];

describe("schema to control", () => {
  it.each<[DataSchema, object]>([
    [{ type: "boolean" }, { kind: "switch" }],
    [{ type: "boolean", readOnly: true }, { kind: "state" }],
    [
      { type: "integer", ...bounded },
      { kind: "slider", min: 0, max: 100, step: 1 },
    ],
    [
      { type: "number", ...bounded },
      { kind: "slider", min: 0, max: 100, step: 1 },
    ],
    [
      { type: "number", minimum: 0, maximum: 1 },
      { kind: "slider", min: 0, max: 1, step: 0.01 },
    ],
    [
      { type: "number", minimum: 5, maximum: 30, multipleOf: 0.5 },
      { kind: "slider", min: 5, max: 30, step: 0.5 },
    ],
    [{ type: "number" }, { kind: "number", step: "any" }],
    [
      { type: "integer", minimum: 1 },
      { kind: "number", step: 1, min: 1 },
    ],
    [
      { type: "number", exclusiveMinimum: 0, maximum: 9 },
      { kind: "number", step: "any", min: 0, max: 9 },
    ],
    [
      { type: "number", minimum: 3, maximum: 3 },
      { kind: "number", step: "any", min: 3, max: 3 },
    ],
    [{ type: "number", readOnly: true, ...bounded }, { kind: "reading" }],
    [
      { type: "string", enum: ["auto", "max_power"] },
      { kind: "select", options },
    ],
    [
      { type: "integer", enum: [1, 2] },
      {
        kind: "select",
        options: [
          { value: 1, label: "1" },
          { value: 2, label: "2" },
        ],
      },
    ],
    [{ oneOf: [{ const: 0, title: "Shut" }] }, { kind: "select", options: [{ value: 0, label: "Shut" }] }],
    [{ type: "string", enum: ["a"], readOnly: true }, { kind: "label" }],
    [{ type: "integer", enum: [1], readOnly: true }, { kind: "label" }],
    [{ type: "string" }, { kind: "text", long: false }],
    [
      { type: "string", maxLength: 4000 },
      { kind: "text", long: true },
    ],
    [{ type: "string", format: "color" }, { kind: "color" }],
    [{ type: "string", readOnly: true }, { kind: "label" }],
    [{ type: "object" }, { kind: "json" }],
    [{ type: "array", readOnly: true }, { kind: "structure" }],
    [{}, { kind: "json" }],
    [{ oneOf: [{ type: "string" }, { type: "null" }] }, { kind: "json" }],
    [{ readOnly: true }, { kind: "structure" }],
  ])("%j", (schema, control) => {
    expect(controlFor(schema)).toEqual(control);
  });

  it("finds some control for any schema", () => {
    const schema = fc.record(
      {
        type: fc.constantFrom("boolean", "integer", "number", "string", "object", "array", "null"),
        minimum: fc.double(),
        maximum: fc.double(),
        multipleOf: fc.double({ min: 0, minExcluded: true }),
        readOnly: fc.boolean(),
        enum: fc.array(fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))),
        maxLength: fc.nat(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(schema, (any) => {
        const control = controlFor(any as DataSchema);
        if (control.kind === "slider") {
          expect(control.max).toBeGreaterThan(control.min);
          expect(control.step).toBeGreaterThan(0);
        }
        initialOf(any as DataSchema);
        inputFor(any as DataSchema);
      }),
    );
  });
});

describe("what is typed", () => {
  it.each<[string, DataSchema, unknown]>([
    ["", { type: "string" }, undefined],
    ["hello", { type: "string" }, { value: "hello" }],
    ["21.5", { type: "number" }, { value: 21.5 }],
    ["21.5", { type: "integer" }, { problem: "A whole number, please" }],
    ["x", { type: "number" }, { problem: "A number, please" }],
    ["-1", { type: "number", minimum: 0 }, { problem: "At least 0" }],
    ["101", { type: "number", maximum: 100 }, { problem: "At most 100" }],
    ["true", { type: "boolean" }, { value: true }],
    ["[1,2]", { type: "array" }, { value: [1, 2] }],
    ["{", { type: "object" }, { problem: "This is not JSON" }],
  ])("%j as %j", (text, schema, outcome) => {
    expect(parseInput(text, schema)).toEqual(outcome);
  });
});
