import { testProject } from '../../../integration-tests/services/project.ts'

// Its tests wait for SQS, and use little CPU.
export default testProject({
  name: 'driver-sqs',
  folder: import.meta.dirname,
  servers: true,
  together: true,
  maxConcurrency: 20,
})
