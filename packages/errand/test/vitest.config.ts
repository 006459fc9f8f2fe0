import { testProject } from '../../../integration-tests/services/project.ts'

export default testProject({ name: 'errand', folder: import.meta.dirname, servers: true, together: true })
