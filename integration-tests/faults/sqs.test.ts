import { describePlace } from './describe.ts'
import { stories } from './stories.ts'

describePlace('sqs', stories)
