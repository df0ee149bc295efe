import { Context, OptionalSchema, Schema } from './base';
import { Issue, Result, fail, pass, under } from './issues';
import { LiteralSchema, kindOf } from './scalars';

export type Shape = Record<string, Schema<any>>;
type Unknown = 'strip' | 'keep' | 'refuse';

export class ObjectSchema<S extends Shape> extends Schema<Record<string, any>> {
  constructor(readonly shape: S, private readonly unknown: Unknown = 'strip') {
    super();
  }

  protected read(input: unknown, context: Context): Result<Record<string, any>> {
    if (kindOf(input) !== 'object') return fail('type', `expected object, got ${kindOf(input)}`);
    const source = input as Record<string, unknown>;
    const output: Record<string, any> = {};
    const issues: Issue[] = [];
    for (const [key, schema] of Object.entries(this.shape)) {
      const present = Object.prototype.hasOwnProperty.call(source, key);
      if (!present && !schema.hasDefault && !(schema instanceof OptionalSchema)) {
        issues.push({ path: [key], code: 'missing', message: 'is missing' });
        continue;
      }
      const found = schema.run(source[key], { ...context, path: [...context.path, key] });
      if (!found.ok) {
        issues.push(...under(key, found.issues));
      } else if (found.value !== undefined || present) {
        output[key] = found.value;
      }
    }
    const extra = Object.keys(source).filter((key) => !(key in this.shape));
    for (const key of extra) {
      if (this.unknown === 'keep') output[key] = source[key];
      if (this.unknown === 'refuse') issues.push({ path: [key], code: 'unknown', message: 'is not known' });
    }
    return issues.length ? { ok: false, issues } : pass(output);
  }

  strict(): ObjectSchema<S> {
    return new ObjectSchema(this.shape, 'refuse');
  }

  loose(): ObjectSchema<S> {
    return new ObjectSchema(this.shape, 'keep');
  }

  extend<E extends Shape>(more: E): ObjectSchema<S & E> {
    return new ObjectSchema({ ...this.shape, ...more }, this.unknown);
  }

  pick(...keys: (keyof S & string)[]): ObjectSchema<Shape> {
    const chosen = Object.entries(this.shape).filter(([key]) => keys.includes(key));
    return new ObjectSchema(Object.fromEntries(chosen), this.unknown);
  }

  partial(): ObjectSchema<Shape> {
    const loosened: Shape = {};
    for (const [key, schema] of Object.entries(this.shape)) {
      loosened[key] = schema instanceof OptionalSchema ? schema : schema.optional();
    }
    return new ObjectSchema(loosened, this.unknown);
  }
}

export class ListSchema<T> extends Schema<T[]> {
  constructor(readonly item: Schema<T>) {
    super();
  }

  protected read(input: unknown, context: Context): Result<T[]> {
    let source = input;
    if (context.coerce && typeof source === 'string') source = source.split(',').map((part) => part.trim());
    if (!Array.isArray(source)) return fail('type', `expected list, got ${kindOf(input)}`);
    const values: T[] = [];
    const issues: Issue[] = [];
    source.forEach((element, index) => {
      const found = this.item.run(element, { ...context, path: [...context.path, index] });
      if (found.ok) values.push(found.value);
      else issues.push(...under(index, found.issues));
    });
    return issues.length ? { ok: false, issues } : pass(values);
  }

  unique(by: (value: T) => unknown = (value) => value): this {
    return this.refine((values) => new Set(values.map(by)).size === values.length, 'holds something twice');
  }
}

export class UnionSchema<T> extends Schema<T> {
  constructor(readonly options: Schema<T>[], readonly tag?: string) {
    super();
  }

  private tagged(input: unknown): Schema<T> | undefined {
    if (!this.tag || kindOf(input) !== 'object') return undefined;
    const value = (input as Record<string, unknown>)[this.tag];
    return this.options.find((option) => {
      const field = (option as unknown as ObjectSchema<Shape>).shape?.[this.tag!];
      return field instanceof LiteralSchema && field.choices.includes(value as never);
    });
  }

  protected read(input: unknown, context: Context): Result<T> {
    const chosen = this.tagged(input);
    if (chosen) return chosen.run(input, context);
    let nearest: Issue[] | undefined;
    for (const option of this.options) {
      const found = option.run(input, context);
      if (found.ok) return found;
      const depth = Math.max(...found.issues.map((issue) => issue.path.length));
      const best = nearest ? Math.max(...nearest.map((issue) => issue.path.length)) : -1;
      if (depth > best) nearest = found.issues;
    }
    return nearest ? { ok: false, issues: nearest } : fail('choice', 'nothing fits');
  }
}
