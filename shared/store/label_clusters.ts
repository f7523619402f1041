// Whose thumbs a label is counted among, where one person's thumbs are not independent. Does not know what is counted.

/** What a cluster of a person's thumbs begins with; a name follows. */
export const personPrefix = "person:";

/**
 * The cluster of a label, as SQL: who judges, else who asked, else the completion, whose few answers then stand for a
 * person of their own.
 *
 * @param endUser of the label; "" where nobody is named
 * @param completion the table or alias of its completion
 */
export const clusterOf = (endUser: string, completion: string): string =>
  `CASE WHEN ${completion}.alias IS NULL THEN NULL
     WHEN ${endUser} <> '' THEN '${personPrefix}' || ${endUser}
     WHEN ${completion}.end_user IS NOT NULL THEN '${personPrefix}' || ${completion}.end_user
     ELSE 'answer:' || ${completion}.id END`;
