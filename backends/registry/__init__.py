"""What a registry does, without HTTP: blobs, uploads, repositories, v1 images, over one storage driver.

Invariant: nothing is true only in this process. Caches hold what can be read again.
"""
