//! A port of 127.0.0.1 behind which a server of a test works.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Serves each connection on a thread of its own, until it is dropped.
pub(crate) struct Door {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Door {
    pub(crate) fn open(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("address");
        let over = Arc::new(AtomicBool::new(false));
        let (serve, closed) = (Arc::new(serve), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, over }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the one who waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}
