package android.content;

import android.net.Uri;

public class ClipData {
    public native int getItemCount();

    public native Item getItemAt(int index);

    public static class Item {
        public native Uri getUri();
    }
}
