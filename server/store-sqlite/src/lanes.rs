//! The threads: one that writes, some that read. Or none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use tombolo_engine::StoreError;

use crate::open::Db;

type Job = Box<dyn FnOnce(&mut Db) + Send>;

/// Where calls run.
pub(crate) enum Lanes {
    /// In the caller's thread, inside the future's first poll.
    Inline(Box<Mutex<Db>>),
    /// On threads of their own. Without `readers` the writer reads too (a database in memory has one connection).
    Threads {
        /// The one that writes.
        writer: Lane,
        /// Those that read.
        readers: Option<Lane>,
    },
}

/// Threads that take jobs from one queue, each with its connection.
pub(crate) struct Lane {
    /// `None` once it is being closed.
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    pub(crate) fn inline(db: Db) -> Self {
        Self::Inline(Box::new(Mutex::new(db)))
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Inline(db) => job(&mut db.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Threads { writer, .. } => writer.run(job).await,
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Inline(db) => job(&mut db.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Threads { writer, readers } => readers.as_ref().unwrap_or(writer).run(job).await,
        }
    }
}

impl Lane {
    /// Starts one thread for each of `dbs`.
    pub(crate) fn start(name: &str, dbs: Vec<Db>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(dbs.len());
        for (number, db) in dbs.into_iter().enumerate() {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            threads.push(thread.spawn(move || work(db, &queue))?);
        }
        Ok(Self {
            jobs: Some(jobs),
            threads,
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (give, take) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |db| {
            // Whoever asked may have gone away; a write stands all the same.
            let _ = give.send(job(db));
        });
        self.jobs
            .as_ref()
            .ok_or(StoreError::Closed)?
            .send(job)
            .map_err(|_| StoreError::Closed)?;
        take.await.unwrap_or_else(|_| {
            Err(StoreError::Backend(
                "a bug stopped this call; nothing was written".into(),
            ))
        })
    }
}

/// One thread's life. A job that panics has rolled its transaction back while unwinding; the thread goes on.
fn work(mut db: Db, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut db))).is_err() {
            tracing::error!("a job of the store panicked; its caller was told that nothing was written");
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked outside a job has nothing left to do.
            let _ = thread.join();
        }
    }
}
