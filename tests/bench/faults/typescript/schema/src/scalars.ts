import { Context, Schema } from './base';
import { Result, fail, pass } from './issues';

export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  return typeof value;
}

export class StringSchema extends Schema<string> {
  private trimmed = false;

  protected read(input: unknown, context: Context): Result<string> {
    let value = input;
    if (context.coerce && (typeof value === 'number' || typeof value === 'boolean')) value = String(value);
    if (typeof value !== 'string') return fail('type', `expected string, got ${kindOf(input)}`);
    return pass(this.trimmed ? value.trim() : value);
  }

  trim(): this {
    const copy = this.clone();
    copy.trimmed = true;
    return copy;
  }

  length(least: number, most = Infinity): this {
    return this.refine((value) => value.length >= least && value.length <= most, `must have ${least} to ${most} characters`);
  }

  pattern(expression: RegExp, name = 'pattern'): this {
    return this.refine((value) => expression.test(value), `does not look like a ${name}`);
  }
}

export class NumberSchema extends Schema<number> {
  protected read(input: unknown, context: Context): Result<number> {
    let value = input;
    if (context.coerce && typeof value === 'string' && value.trim() !== '') {
      value = Number(value);
    }
    if (typeof value !== 'number') return fail('type', `expected number, got ${kindOf(input)}`);
    if (Number.isNaN(value)) return fail('type', `expected number, got ${JSON.stringify(input)}`);
    return pass(value);
  }

  min(least: number): this {
    return this.refine((value) => value >= least, `must be at least ${least}`);
  }

  max(most: number): this {
    return this.refine((value) => value <= most, `must be at most ${most}`);
  }

  int(): this {
    return this.refine(Number.isInteger, 'must be whole');
  }

  multipleOf(step: number): this {
    return this.refine((value) => {
      const times = value / step;
      return Math.abs(times - Math.round(times)) < 1e-9;
    }, `must be a multiple of ${step}`);
  }
}

const WORDS: Record<string, boolean> = { true: true, yes: true, '1': true, false: false, no: false, '0': false };

export class BooleanSchema extends Schema<boolean> {
  protected read(input: unknown, context: Context): Result<boolean> {
    if (typeof input === 'boolean') return pass(input);
    if (context.coerce) {
      const known = WORDS[String(input).toLowerCase()];
      if (known !== undefined) return pass(known);
    }
    return fail('type', `expected boolean, got ${kindOf(input)}`);
  }
}

export class LiteralSchema<T extends string | number | boolean | null> extends Schema<T> {
  constructor(readonly choices: readonly T[]) {
    super();
  }

  protected read(input: unknown): Result<T> {
    if (this.choices.includes(input as T)) return pass(input as T);
    const listed = this.choices.map((choice) => JSON.stringify(choice)).join(', ');
    return fail('choice', `expected one of ${listed}`);
  }
}
