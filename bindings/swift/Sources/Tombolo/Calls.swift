import TomboloFFI

/// Calls the other side, and takes the task's cancellation there: uniffi's Swift does not.
func cancellable<Value: Sendable>(
    _ call: @Sendable (CancelHandle) async throws -> Value
) async throws -> Value {
    let cancel = CancelHandle()
    do {
        return try await withTaskCancellationHandler {
            try await call(cancel)
        } onCancel: {
            cancel.cancel()
        }
    } catch {
        throw told(error)
    }
}

/// Calls the other side for something brief that is carried out to its end whatever becomes of the task.
func finished<Value: Sendable>(_ call: @Sendable () async throws -> Value) async throws -> Value {
    do {
        return try await call()
    } catch {
        throw told(error)
    }
}

/// Calls what answers at once.
func atOnce<Value>(_ call: () throws -> Value) throws -> Value {
    do {
        return try call()
    } catch {
        throw told(error)
    }
}

/// Refuses a library of another release before anything is called in it.
func ensureLibrary() throws {
    guard libraryMatches() else {
        throw TomboloError.libraryMismatch(
            detail: """
                the library libtombolo_ffi and the Swift package Tombolo are of different releases; take both from the same \
                one, and build the app anew
                """)
    }
}
