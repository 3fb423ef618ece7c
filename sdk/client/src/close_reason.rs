//! What a lost link means to the machine.

use tombolo_machine::CloseReason as MachineReason;
use tombolo_transport::CloseReason;

/// Close codes of an orderly end: normal, going away, restart, try again later.
const ORDERLY: [u16; 4] = [1000, 1001, 1012, 1013];

/// What a lost link means to the machine.
pub(crate) fn of(reason: &CloseReason) -> MachineReason {
    match reason {
        CloseReason::Unreachable { .. } | CloseReason::TimedOut { .. } => MachineReason::Lost(reason.to_string()),
        CloseReason::Unauthorized { .. } => MachineReason::Unauthorized(reason.to_string()),
        CloseReason::Refused { .. }
        | CloseReason::Protocol { .. }
        | CloseReason::Incompatible { .. }
        | CloseReason::TooLarge { .. } => MachineReason::Protocol(reason.to_string()),
        CloseReason::Closed { code } if ORDERLY.contains(code) => MachineReason::Ended,
        CloseReason::Closed { .. } => MachineReason::Lost(reason.to_string()),
        CloseReason::Local => MachineReason::Ended,
    }
}
