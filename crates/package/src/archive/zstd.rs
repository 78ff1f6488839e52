use std::{
    io::{self, BufRead, ErrorKind, Read},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Largest window, in bytes: that of `zstd --ultra -20`. A decoder keeps as much in memory, and 64 MiB is what a pull
/// may take.
const MOST_WINDOW: u64 = 32 << 20;
/// Windows up to here every layer may have at once with others: levels up to 19 need no more.
const USUAL_WINDOW: u64 = 8 << 20;
/// Who holds it may have a window that is larger.
static LARGE: Mutex<()> = Mutex::new(());

/// The frames of a zstd stream (RFC 8878), one after the other; frames that are to be skipped are.
pub(super) struct Frames<R> {
    input: R,
    decoder: FrameDecoder,
    is_within: bool,
    large: Option<MutexGuard<'static, ()>>,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MOST_WINDOW);
        Self {
            input,
            decoder,
            is_within: false,
            large: None,
        }
    }

    /// Goes to the next frame that holds something; `false` at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            let mut start = [0; 8];
            self.input.read_exact(&mut start[..5])?;
            let magic = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
            if magic & !0xf == 0x184d_2a50 {
                self.input.read_exact(&mut start[5..])?;
                let length = u32::from_le_bytes([start[4], start[5], start[6], start[7]]).into();
                if io::copy(&mut (&mut self.input).take(length), &mut io::sink())? < length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            let header = self.header(&start[..5])?;
            let reset = self.decoder.reset(header.as_slice().chain(&mut self.input));
            reset.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.is_within = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads the rest of the header of a frame, and waits until it may have the window that it says.
    fn header(&mut self, start: &[u8]) -> io::Result<Vec<u8>> {
        let descriptor = start[4];
        let is_single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = match descriptor >> 6 {
            0 => usize::from(is_single),
            flag => 1 << flag,
        };
        let mut header = start.to_vec();
        header.resize(5 + usize::from(!is_single) + dictionary + content, 0);
        self.input.read_exact(&mut header[5..])?;
        let window = if is_single {
            let mut size = [0; 8];
            size[..content].copy_from_slice(&header[header.len() - content..]);
            u64::from_le_bytes(size)
        } else {
            let (exponent, mantissa) = (header[5] >> 3, u64::from(header[5] & 7));
            let base = 1u64 << (10 + exponent);
            base + base / 8 * mantissa
        };
        if window > USUAL_WINDOW && self.large.is_none() {
            // It guards no data.
            self.large = Some(LARGE.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(header)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            }
            match self.decoder.read(into)? {
                0 if self.decoder.is_finished() => self.is_within = false,
                came => return Ok(came),
            }
        }
    }
}
