/** Everything of version 1 begins with it. What is answered there is added to, never changed. */
export const apiPrefix = '/api/v1'
