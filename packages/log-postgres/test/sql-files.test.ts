import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventTypes, jobStates, laneRank, lanes } from '@errand/core/ports'
import {
  eventCode,
  needCode,
  noteCode,
  overCode,
  settleCode,
  stateCode,
  stepCode,
  uniqueCode,
} from '../src/codes.ts'
import { ruleName, readRules, versioned } from '../src/migrations/rules.ts'
import { createdIn, inSchema, readSql } from '../src/sql-files.ts'

const folder = join(import.meta.dirname, '..', 'sql')
const files = globSync('*/*.sql', { cwd: folder }).toSorted()
const text = (file: string): string => readFileSync(join(folder, file), 'utf8')
const rules = files.filter((file) => file.startsWith('rules/')).map(text)

/** Nothing was released yet, so step 1 may still be rewritten, and its hash with it. Afterwards none of these changes. */
const frozen = {
  'tables/0001.sql': '170bdb53d6776bc84dbd7ce1b229d92bd976486764fb2594f36b6a65170eb918',
}

/** `releaseBegun` as the comments of the SQL say it: `release begun`. */
const words = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)

/** What a number means, as it stands in the comment behind it. */
const meanings = new Map<string, number>([
  ...Object.entries(stateCode),
  ...Object.entries(eventCode).map(([type, code]) => [`${type} event`, code] as const),
  ...Object.entries(needCode).map(([mode, code]) => [`${mode} need`, code] as const),
  ...Object.entries(noteCode).map(([kind, code]) => [`${kind} note`, code] as const),
  ...Object.entries(settleCode).map(([kind, code]) => [words(kind), code] as const),
  ...Object.entries(stepCode),
  ...Object.entries(overCode).map(([what, code]) => [`by ${what}`, code] as const),
  ...Object.entries(uniqueCode).map(
    ([mode, code]) => [mode === 'none' ? 'not unique' : words(mode), code] as const,
  ),
])

describe('the SQL of the job log', () => {
  it('never changes the tables of a step that has a number', () => {
    const hashes = files
      .filter((file) => file.startsWith('tables/'))
      .map((file) => [file, createHash('sha256').update(text(file)).digest('hex')])
    expect(Object.fromEntries(hashes)).toEqual(frozen)
  })

  it('writes numbers that mean what its comments say', () => {
    const said = files.flatMap((file) =>
      [...text(file).matchAll(/'?(\d+)\}?'? \/\* ([\w ]+) \*\//g)].map(([, code, meaning]) => ({
        file,
        meaning: meaning!,
        code: Number(code),
      })),
    )
    expect(said.filter(({ meaning, code }) => meanings.get(meaning) !== code)).toEqual([])
    // The rules name all but one: a unique key that is held until its job finishes is what remains.
    const named = new Set(said.map(({ meaning }) => meaning))
    expect([...meanings.keys()].filter((meaning) => !named.has(meaning))).toEqual(['until finished'])
  })

  it('has a number for each state and each type of event that core knows', () => {
    expect(Object.keys(stateCode).toSorted()).toEqual([...jobStates].toSorted())
    expect(Object.keys(eventCode).toSorted()).toEqual([...eventTypes].toSorted())
  })

  it('knows the lanes of core, from the highest', () => {
    const ranks = lanes.map((lane) => laneRank[lane]).join(', ')
    const taken = rules.flatMap((rule) => [...rule.matchAll(/v_lanes smallint\[\] := array\[(.*?)\]/g)])
    const allowed = rules.flatMap((rule) => [
      ...rule.matchAll(/not in \(([\d, ]+)\)\s+then errand\.out_of_bounds\('a lane'/g),
    ])
    expect(taken.map(([, some]) => some)).toEqual([ranks])
    expect(new Set(allowed.map(([, some]) => some))).toEqual(new Set([ranks]))
    expect(allowed).toHaveLength(3)
  })

  it('compares every state and type with a number that has its meaning beside it', () => {
    const bare = files.flatMap((file) =>
      [...text(file).matchAll(/\b(?:state|type)(?: \+ 0)? (?:=|<>) \d+(?! \/\*)\b.*/g)].map(
        ([line]) => `${file}: ${line}`,
      ),
    )
    expect(bare).toEqual([])
  })

  it('puts the schema wherever a file says errand, and leaves errors that begin with it', () => {
    const sql = inSchema(readSql('rules/sweep.sql'), '"jobs"')
    expect(sql).toContain('create function "jobs".sweep(')
    expect(sql).toContain(`hashtext('errand sweep'), hashtext('"jobs"')`)
    expect(inSchema(readSql('rules/bounds.sql'), '"jobs"')).toContain(`'errand: % is out of bounds'`)
  })

  it('makes the rules of a version under names of its own, also where they call each other', () => {
    const names = createdIn(readRules(), 'function')
    const second = versioned(readRules(), 2)
    expect(createdIn(second, 'function')).toEqual(names.map((name) => ruleName(name, 2)))
    const called = [...second.matchAll(/\berrand\.(\w+)\(/g)].map(([, name]) => name)
    expect(called.filter((name) => names.includes(name!))).toEqual([])
    // Tables keep their names, and so do the functions that they have of their own.
    expect(names.filter((name) => createdIn(readSql('tables/0001.sql'), 'table').includes(name))).toEqual([])
    expect(called).toContain('clock')
  })

  it('has no rule in a file that nobody creates', () => {
    expect(createdIn(readRules(), 'function').toSorted()).toEqual(
      rules.flatMap((rule) => createdIn(rule, 'function')).toSorted(),
    )
  })

  it.each([
    ['a bundle of CommonJS, which does not know where it is', ''],
    ['a bundle that left the files behind', 'file:///srv/app/dist/server.js'],
  ])('says what to do in %s', (_, from) => {
    expect(() => readSql('tables/0001.sql', from)).toThrowError(
      expect.objectContaining({ code: 'E_CONFIG', message: expect.stringMatching(/external/) as string }),
    )
  })
})
