import { createErrand } from 'errand'
import config from './errand.config.ts'
import { answer } from './jobs.ts'

const [question = 'How much warmer is Cairo than Oslo?'] = process.argv.slice(2)
await using errand = createErrand(config)
const { id } = await errand.dispatch(answer, { question })
console.log(`the question is job ${id}`)
