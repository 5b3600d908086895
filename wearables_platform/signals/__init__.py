"""Signal processing: numpy in, arrays out.

Two rules hold in this package. It does no I/O, reads no clock and logs nothing; and it imports numpy,
scipy, numba and itself, nothing else. The same kernels run on the device, in the stream and in batch.
"""
