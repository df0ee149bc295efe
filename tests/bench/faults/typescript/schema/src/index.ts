import { Schema } from './base';
import { ListSchema, ObjectSchema, Shape, UnionSchema } from './compound';
import { BooleanSchema, LiteralSchema, NumberSchema, StringSchema } from './scalars';

export { SchemaError } from './issues';

export const s = {
  string: () => new StringSchema(),
  number: () => new NumberSchema(),
  boolean: () => new BooleanSchema(),
  literal: <T extends string | number | boolean | null>(...choices: T[]) => new LiteralSchema(choices),
  object: <S extends Shape>(shape: S) => new ObjectSchema(shape),
  list: <T>(item: Schema<T>) => new ListSchema(item),
  union: <T>(...options: Schema<any>[]) => new UnionSchema<T>(options),
  tagged: <T>(tag: string, ...options: Schema<any>[]) => new UnionSchema<T>(options, tag),
};
