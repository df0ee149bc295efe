import { describe, expect, it } from 'vitest';
import { s } from '../src';

const address = s.object({
  street: s.string().trim().length(1, 40),
  zip: s.string().pattern(/^\d{5}$/, 'zip code'),
  country: s.string().default('DE'),
});

const person = s.object({
  name: s.string().trim(),
  age: s.number().int().min(0).optional(),
  addresses: s.list(address),
  active: s.boolean().default(true),
});

const sample = { name: ' Ada ', addresses: [{ street: 'Main', zip: '12345' }] };

function problems(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}

describe('objects', () => {
  it('fills in defaults and trims', () => {
    expect(person.parse(sample)).toEqual({ name: 'Ada', active: true, addresses: [{ street: 'Main', zip: '12345', country: 'DE' }] });
  });

  it('says where something is wrong', () => {
    const bad = { name: 'A', addresses: [{ street: 'x', zip: '12345' }, { street: '', zip: '1' }], age: 1.5 };
    expect(problems(() => person.parse(bad))).toBe(
      'age: must be whole; addresses[1].street: must have 1 to 40 characters; addresses[1].zip: does not look like a zip code',
    );
  });

  it('counts further problems', () => {
    expect(problems(() => person.parse({ age: -1.5, addresses: 1 }))).toBe(
      'name: is missing; age: must be whole; age: must be at least 0 (and 1 more)',
    );
  });

  it('treats unknown keys as told', () => {
    const point = s.object({ x: s.number() });
    expect(point.parse({ x: 1, y: 2 })).toEqual({ x: 1 });
    expect(point.loose().parse({ x: 1, y: 2 })).toEqual({ x: 1, y: 2 });
    expect(problems(() => point.strict().extend({ z: s.number() }).parse({ x: 1, y: 2, z: 3 }))).toBe('y: is not known');
  });

  it('picks and loosens', () => {
    expect(person.pick('name').parse(sample)).toEqual({ name: 'Ada' });
    expect(person.partial().parse({})).toEqual({});
  });
});

describe('coercion', () => {
  const options = { coerce: true };

  it('reads texts', () => {
    const form = s.object({ count: s.number(), on: s.boolean(), ids: s.list(s.number()), label: s.string() });
    expect(form.parse({ count: '4', on: 'Yes', ids: '1, 2,3', label: 5 }, options)).toEqual({ count: 4, on: true, ids: [1, 2, 3], label: '5' });
  });

  it('does not make numbers of nothing', () => {
    expect(problems(() => s.number().parse(' ', options))).toBe('expected number, got string');
    expect(problems(() => s.number().parse('four', options))).toBe('expected number, got "four"');
  });
});

describe('checks', () => {
  it('leaves the original alone', () => {
    const base = s.number();
    const small = base.max(5);
    expect(base.parse(10)).toBe(10);
    expect(problems(() => small.parse(10))).toBe('must be at most 5');
  });

  it('knows steps and doubles', () => {
    expect(s.number().multipleOf(0.1).parse(0.3)).toBe(0.3);
    expect(problems(() => s.list(s.string()).unique((text) => text.toLowerCase()).parse(['a', 'B', 'A']))).toBe('holds something twice');
  });

  it('maps values and errors', () => {
    const json = s.string().map((text) => JSON.parse(text));
    expect(json.parse('[1]')).toEqual([1]);
    expect(json.safeParse('{').ok).toBe(false);
  });
});

describe('unions', () => {
  const circle = s.object({ kind: s.literal('circle'), r: s.number() });
  const box = s.object({ kind: s.literal('box', 'cube'), size: s.object({ w: s.number(), h: s.number() }) });

  it('follow the tag', () => {
    const shape = s.tagged('kind', circle, box);
    expect(problems(() => shape.parse({ kind: 'cube', size: { w: 1 } }))).toBe('size.h: is missing');
    expect(shape.parse({ kind: 'circle', r: 2 })).toEqual({ kind: 'circle', r: 2 });
  });

  it('tell the nearest', () => {
    const either = s.union(s.number(), s.list(s.object({ a: s.number() })), s.string());
    expect(problems(() => either.parse([{ a: 'x' }]))).toBe('[0].a: expected number, got string');
    expect(problems(() => s.literal('a', null).parse('b'))).toBe('expected one of "a", null');
  });
});
