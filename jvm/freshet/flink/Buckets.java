package freshet.flink;

/** Which of a job's buckets a key belongs to: for ever the same, as the state of the key lies there. */
public final class Buckets {
    private static final int FNV_OFFSET = 0x811c9dc5;
    private static final int FNV_PRIME = 0x01000193;

    private Buckets() {}

    /** FNV-1a of the key's bytes, mixed by the last step of MurmurHash3, modulo the buckets. */
    public static int of(byte[] key, int buckets) {
        int hash = FNV_OFFSET;
        if (key != null) {
            for (byte one : key) {
                hash = (hash ^ (one & 0xff)) * FNV_PRIME;
            }
        }
        return Integer.remainderUnsigned(mixed(hash), buckets);
    }

    /** FNV leaves its low bits uneven for short keys. */
    private static int mixed(int hash) {
        int mixed = (hash ^ (hash >>> 16)) * 0x85ebca6b;
        mixed = (mixed ^ (mixed >>> 13)) * 0xc2b2ae35;
        return mixed ^ (mixed >>> 16);
    }
}
