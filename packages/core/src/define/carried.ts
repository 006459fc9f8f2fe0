import type { StandardSchemaV1 } from '@standard-schema/spec'

/** T, with what JSON cannot carry replaced by never. */
type Json<T> = T extends string | number | boolean | null | undefined
  ? T
  : unknown extends T
    ? T
    : T extends
          | bigint
          | symbol
          | ((...args: never[]) => unknown)
          | { toJSON(...args: never[]): unknown }
          | ReadonlyMap<unknown, unknown>
          | ReadonlySet<unknown>
          | ArrayBuffer
          | ArrayBufferView
      ? never
      : { [K in keyof T]: Json<T[K]> }

/** Nothing, if JSON can carry the schema's input. Else a property that names the reason and that no caller can give. */
export type Carried<S extends StandardSchemaV1> = [StandardSchemaV1.InferInput<S>] extends [
  Json<StandardSchemaV1.InferInput<S>>,
]
  ? unknown
  : { readonly 'JSON cannot carry this payload (Date, Map, bigint, …): accept text and transform it': never }

/** As `Carried`, for what a handler returns. */
export type CarriedResult<R extends StandardSchemaV1> = [StandardSchemaV1.InferOutput<R>] extends [
  Json<StandardSchemaV1.InferOutput<R>>,
]
  ? unknown
  : { readonly 'JSON cannot carry this result (Date, Map, bigint, …): return text or numbers': never }

/** What a dispatch takes: the schema's input, or nothing. */
export type InputOf<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferInput<S> : void
/** What the handler gets, or gives: the schema's output, or `None` without one. */
export type OutputOf<S, None = void> = S extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<S> : None
