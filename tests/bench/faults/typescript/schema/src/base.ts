import { Issue, PathPart, Result, SchemaError, fail, pass } from './issues';

export interface Context {
  coerce: boolean;
  path: PathPart[];
}

type Check<T> = (value: T) => string | undefined;

export abstract class Schema<T> {
  protected checks: Check<T>[] = [];
  protected fallback?: () => T;

  protected abstract read(input: unknown, context: Context): Result<T>;

  protected clone(): this {
    const copy = Object.create(Object.getPrototypeOf(this));
    Object.assign(copy, this);
    copy.checks = [...this.checks];
    return copy;
  }

  run(input: unknown, context: Context): Result<T> {
    if (input === undefined && this.fallback) return pass(this.fallback());
    const found = this.read(input, context);
    if (!found.ok) return found;
    const issues: Issue[] = [];
    for (const check of this.checks) {
      const message = check(found.value);
      if (message !== undefined) issues.push({ path: [], code: 'range', message });
    }
    return issues.length ? { ok: false, issues } : found;
  }

  parse(input: unknown, options: Partial<Context> = {}): T {
    const result = this.run(input, { coerce: false, path: [], ...options });
    if (!result.ok) throw new SchemaError(result.issues);
    return result.value;
  }

  safeParse(input: unknown, options: Partial<Context> = {}): Result<T> {
    return this.run(input, { coerce: false, path: [], ...options });
  }

  default(value: T | (() => T)): this {
    const copy = this.clone();
    copy.fallback = typeof value === 'function' ? (value as () => T) : () => value;
    return copy;
  }

  get hasDefault(): boolean {
    return this.fallback !== undefined;
  }

  refine(test: (value: T) => boolean, message: string): this {
    const copy = this.clone();
    copy.checks.push((value) => (test(value) ? undefined : message));
    return copy;
  }

  optional(): OptionalSchema<T> {
    return new OptionalSchema(this);
  }

  map<U>(change: (value: T) => U): Schema<U> {
    return new MappedSchema(this, change);
  }
}

export class OptionalSchema<T> extends Schema<T | undefined> {
  constructor(readonly inner: Schema<T>) {
    super();
  }

  protected read(input: unknown, context: Context): Result<T | undefined> {
    return input === undefined ? pass(undefined) : this.inner.run(input, context);
  }
}

class MappedSchema<T, U> extends Schema<U> {
  constructor(readonly inner: Schema<T>, readonly change: (value: T) => U) {
    super();
  }

  protected read(input: unknown, context: Context): Result<U> {
    const found = this.inner.run(input, context);
    if (!found.ok) return found;
    try {
      return pass(this.change(found.value));
    } catch (error) {
      return fail('custom', (error as Error).message);
    }
  }
}
