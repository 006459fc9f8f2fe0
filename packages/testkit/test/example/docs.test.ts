import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

it('the driver in docs/writing-a-driver.md is the one that is tested here, to the letter', () => {
  const page = readFileSync(new URL('../../../../docs/writing-a-driver.md', import.meta.url), 'utf8')
  const driver = readFileSync(new URL('spool-driver.ts', import.meta.url), 'utf8')
  expect(page).toContain(`\`\`\`ts\n${driver}\`\`\``)
})
