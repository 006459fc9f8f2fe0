import type { Value } from '../statements.ts'

export const live = `state in ('scheduled', 'blocked', 'ready', 'running', 'suspended')`

/** Placeholders for `count` values. */
export const marks = (count: number): string => Array.from({ length: count }, () => '?').join(', ')

/** SQL's null for undefined. */
export const or = (value: string | number | undefined): Value => value ?? null

export const json = (value: object): string => JSON.stringify(value)

/** Conditions with their values, joined by "and". */
export class Where {
  readonly values: Value[] = []
  readonly #conditions: string[] = []

  and(condition: string, ...values: Value[]): this {
    this.#conditions.push(condition)
    this.values.push(...values)
    return this
  }

  get sql(): string {
    return this.#conditions.length === 0 ? '' : `where ${this.#conditions.join(' and ')}`
  }
}
