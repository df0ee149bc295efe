import { type Node, Parser } from "./parser";

export type Scope = Readonly<Record<string, number>>;
type Builtin = (...args: number[]) => number;

const BUILTINS: Record<string, Builtin> = {
  max: Math.max,
  min: Math.min,
  mean: (...values) => values.reduce((sum, value) => sum + value, 0) / values.length,
  clamp: (value, low, high) => Math.min(Math.max(value, low), high),
};

const BINARY: Record<string, (left: number, right: number) => number> = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "%": (left, right) => left % right,
  "**": (left, right) => left ** right,
};

export function evaluate(node: Node, scope: Scope = {}): number {
  switch (node.type) {
    case "number":
      return node.value;
    case "name":
      return lookup(scope, node.name);
    case "unary":
      return negate(node.operator, evaluate(node.operand, scope));
    case "binary":
      return BINARY[node.operator](evaluate(node.left, scope), evaluate(node.right, scope));
    case "call":
      return apply(
        node.name,
        node.args.map((argument) => evaluate(argument, scope)),
      );
  }
}

function lookup(scope: Scope, name: string): number {
  if (!Object.hasOwn(scope, name)) {
    throw new ReferenceError(`${name} is not defined`);
  }
  return scope[name];
}

function negate(operator: string, value: number): number {
  return operator === "-" ? -value : value;
}

function apply(name: string, args: number[]): number {
  const builtin = BUILTINS[name];
  if (!builtin) {
    throw new ReferenceError(`${name}() is not defined`);
  }
  return builtin(...args);
}

export const calculate = (source: string, scope?: Scope): number => evaluate(new Parser(source).parse(), scope);
