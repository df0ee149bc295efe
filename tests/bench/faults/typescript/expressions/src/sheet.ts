import { calculate } from "./evaluate";
import { lex } from "./lexer";

export class Sheet {
  private readonly formulas = new Map<string, string>();

  set(cell: string, formula: string): this {
    this.formulas.set(cell, formula);
    return this;
  }

  private inputs(formula: string): string[] {
    return [...lex(formula)].filter((token) => token.kind === "name" && this.formulas.has(token.text)).map((token) => token.text);
  }

  value(cell: string, pending: readonly string[] = []): number {
    if (pending.includes(cell)) {
      throw new RangeError(`circular: ${[...pending, cell].join(" -> ")}`);
    }
    const formula = this.formulas.get(cell) ?? "0";
    const scope: Record<string, number> = {};
    for (const name of this.inputs(formula)) {
      scope[name] = this.value(name, [...pending, cell]);
    }
    return calculate(formula, scope);
  }

  values(): Record<string, number> {
    return Object.fromEntries([...this.formulas.keys()].map((cell) => [cell, this.value(cell)]));
  }
}
