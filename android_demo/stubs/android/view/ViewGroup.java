package android.view;

public abstract class ViewGroup extends View {
    public native void addView(View view, LayoutParams parameters);

    public native void removeView(View view);

    public native void removeAllViews();

    public static class LayoutParams {
        public static final int MATCH_PARENT = -1;
    }
}
