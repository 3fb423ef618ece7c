//! GraphQL operation → checked plan → SQL for a dialect → bytes of the answer.
